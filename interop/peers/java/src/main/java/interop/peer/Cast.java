package interop.peer;

import java.io.IOException;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;

/** flows.json: what the stub answers and whom it answers for. */
record Cast(Map<String, Object> values) {
    /** Reads the file that INTEROP_FLOWS names, else flows.json in the folder above the program's. */
    static Cast load() throws IOException, URISyntaxException {
        String named = System.getenv("INTEROP_FLOWS");
        Path path = named != null ? Path.of(named)
                : Path.of(Cast.class.getProtectionDomain().getCodeSource().getLocation().toURI())
                        .resolveSibling("../flows.json");
        return new Cast(Json.parse(Files.readString(path)));
    }

    /** Returns the flow of this name; throws if there is none. */
    Flow flow(String name) {
        Object flow = Json.object(values.get("flows")).get(name);
        if (flow == null) {
            throw new IllegalArgumentException("no flow \"" + name + "\" in flows.json");
        }
        return new Flow(Json.object(flow));
    }

    /** Returns the flow, behind the flow that it comes after. */
    List<Flow> inOrder(String name) {
        Flow flow = flow(name);
        return flow.text("after") == null ? List.of(flow) : List.of(flow(flow.text("after")), flow);
    }

    WriteAccount writeAccount() {
        return new WriteAccount(Json.object(values.get("write")));
    }

    Map<String, Object> discovery() {
        return Json.object(values.get("discovery"));
    }

    String clientSecret() {
        return values.get("client_secret").toString();
    }

    String redirectUri() {
        return values.get("redirect_uri").toString();
    }

    /** One way to get a token, with the answer of the token endpoint. */
    record Flow(Map<String, Object> values) {
        /** Returns a field of the flow, or null. */
        String text(String field) {
            Object value = values.get(field);
            return value == null ? null : value.toString();
        }

        Set<String> scopes() {
            return new TreeSet<>(Json.texts(values.get("scopes")));
        }

        Map<String, Object> components() {
            return Json.object(values.get("components"));
        }

        Map<String, Object> response() {
            return Json.object(values.get("response"));
        }

        /** Returns the id that the flow's account has in a cache, or null when the flow has no user. */
        String homeAccountId() {
            Map<String, Object> info = Json.object(response().get("client_info"));
            if (!info.isEmpty()) {
                return info.get("uid") + "." + info.get("utid");
            }
            Object subject = Json.object(response().get("id_token")).get("sub");
            return subject == null ? null : subject.toString();
        }
    }

    /** The client and the account of the write command. */
    record WriteAccount(Map<String, Object> values) {
        private static final long HOUR = 3600;

        /** Returns the scope of update i of a tag. */
        static String target(String tag, int i) {
            return "peer." + tag + "." + i;
        }

        String text(String field) {
            return values.get(field).toString();
        }

        /** Returns the account as a flow that signs it in. */
        Flow flow() {
            return new Flow(Json.map("grant", "code", "client_id", text("client_id"),
                    "authority", text("authority"), "authority_type", "aad"));
        }

        /** Returns what the token endpoint answers to update i. */
        Map<String, Object> response(String tag, int i) {
            Map<String, Object> claims = Json.map("aud", text("client_id"), "iss", text("authority") + "/v2.0",
                    "sub", "sub-" + text("uid"), "oid", text("uid"), "tid", text("realm"),
                    "name", text("username"), "preferred_username", text("username"));
            return Json.map("token_type", "Bearer", "scope", target(tag, i), "expires_in", HOUR,
                    "ext_expires_in", 2 * HOUR, "access_token", secret(tag, i), "id_token", claims,
                    "client_info", Json.map("uid", text("uid"), "utid", text("realm")));
        }

        /** Returns the key text of update i's access token in a cache. */
        String key(String tag, int i) {
            return String.join("-", text("home_account_id"), text("environment"), "accesstoken", text("client_id"),
                    text("realm"), target(tag, i)).toLowerCase(Locale.ROOT);
        }

        /** Returns the access token of update i as a cache stores it. */
        Map<String, Object> entry(String tag, int i) {
            long now = System.currentTimeMillis() / 1000;
            return Json.map("credential_type", "AccessToken", "home_account_id", text("home_account_id"),
                    "environment", text("environment"), "client_id", text("client_id"), "realm", text("realm"),
                    "target", target(tag, i), "token_type", "Bearer", "secret", secret(tag, i),
                    "cached_at", Long.toString(now), "expires_on", Long.toString(now + HOUR),
                    "extended_expires_on", Long.toString(now + 2 * HOUR));
        }

        private static String secret(String tag, int i) {
            return "synthetic-" + tag + "-" + i;
        }
    }
}
