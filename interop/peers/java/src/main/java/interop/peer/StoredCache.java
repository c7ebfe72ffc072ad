package interop.peer;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Map;
import java.util.Objects;

/** A cache document as it lies in its file. */
record StoredCache(Map<String, Object> sections) {
    static StoredCache read(Path cache) throws IOException {
        String text = Files.readString(cache);
        return new StoredCache(text.isBlank() ? Map.of() : Json.parse(text));
    }

    /** Describes a sign-in as the document has it, or returns null if its access token is not stored. */
    Map<String, Object> signIn(Cast.Flow flow, String token) {
        Map<String, Object> at = find("AccessToken", Map.of("secret", token));
        if (at.isEmpty()) {
            return null;
        }
        Map<String, Object> line = Json.map("access_token", at.get("secret"));
        Object refreshToken = flow.response().get("refresh_token");
        if (refreshToken != null) {
            put(line, "refresh_token", find("RefreshToken", Map.of("secret", refreshToken)).get("secret"));
        }
        Map<String, Object> account = Map.of();
        if (at.get("home_account_id") instanceof String home) {
            // An AD FS account has no realm.
            account = find("Account", Map.of("home_account_id", home, "realm", at.get("realm")));
            if (account.isEmpty()) {
                account = find("Account", Map.of("home_account_id", home));
            }
        }
        put(line, "home_account_id", at.get("home_account_id"));
        put(line, "username", account.get("username"));
        put(line, "environment", at.get("environment"));
        put(line, "realm", at.get("realm"));
        put(line, "client_id", at.get("client_id"));
        put(line, "scopes", Arrays.asList(at.get("target").toString().split(" ")));
        put(line, "assertion_hash", at.get("user_assertion_hash"));
        put(line, "family_id", find("AppMetadata", Map.of("client_id", at.get("client_id"),
                "environment", at.get("environment"))).get("family_id"));
        if (at.containsKey("ext_cache_key_hash")) {
            line.put("components", flow.components());
        }
        return line;
    }

    /** Returns the first entity of a section whose fields have these values, or an empty one. */
    private Map<String, Object> find(String section, Map<String, Object> fields) {
        for (Object value : Json.object(sections.get(section)).values()) {
            Map<String, Object> entity = Json.object(value);
            if (fields.entrySet().stream().allMatch(f -> Objects.equals(entity.get(f.getKey()), f.getValue()))) {
                return entity;
            }
        }
        return Map.of();
    }

    private static void put(Map<String, Object> line, String name, Object value) {
        if (value != null) {
            line.put(name, value);
        }
    }
}
