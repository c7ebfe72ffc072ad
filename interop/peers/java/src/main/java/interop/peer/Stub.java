package interop.peer;

import com.microsoft.aad.msal4j.HttpMethod;
import com.microsoft.aad.msal4j.HttpRequest;
import com.microsoft.aad.msal4j.HttpResponse;
import com.microsoft.aad.msal4j.IHttpClient;
import com.microsoft.aad.msal4j.IHttpResponse;

import java.net.URL;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** The HTTP client that the library gets: it answers discovery and requests for a token, and touches no network. */
final class Stub implements IHttpClient {
    private static final String WELL_KNOWN = "/.well-known/openid-configuration";

    private final Map<String, Object> discovery;
    private Map<String, Object> response;
    private int requests;
    private String refreshTokenSent;

    /** Makes a stub that refuses every request for a token. */
    Stub(Cast cast) {
        discovery = cast.discovery();
    }

    /** Answers every later request for a token with this response. */
    synchronized void answerWith(Map<String, Object> tokens) {
        response = tokens;
    }

    /** Returns the number of requests for a token, refused ones too. */
    synchronized int requests() {
        return requests;
    }

    /** Returns the refresh token of the last request that carried one, or null. */
    synchronized String refreshTokenSent() {
        return refreshTokenSent;
    }

    @Override
    public synchronized IHttpResponse send(HttpRequest request) {
        if (request.httpMethod() == HttpMethod.POST) {
            return token(request.body());
        }
        String path = request.url().getPath();
        if (path.contains("/discovery/instance")) {
            return answer(200, Json.object(discovery.get("instance")));
        }
        if (path.toLowerCase(Locale.ROOT).contains("/common/userrealm/")) {
            return answer(200, Json.object(discovery.get("user_realm")));
        }
        if (path.endsWith(WELL_KNOWN)) {
            return answer(200, openIdConfiguration(request.url()));
        }
        throw new IllegalStateException("the stub has no answer to GET " + request.url());
    }

    private HttpResponse token(String form) {
        requests++;
        for (String field : form.split("&")) {
            if (field.startsWith("refresh_token=")) {
                refreshTokenSent = URLDecoder.decode(field.substring(field.indexOf('=') + 1), StandardCharsets.UTF_8);
            }
        }
        if (response == null) {
            return answer(400, Json.map("error", "invalid_grant",
                    "error_description", "the stub refuses requests for a token"));
        }
        return answer(200, encode(response));
    }

    private Map<String, Object> openIdConfiguration(URL url) {
        String authority = "https://" + url.getAuthority() + url.getPath().replace(WELL_KNOWN, "");
        String base = authority.replaceFirst("/v2\\.0$", "");
        Map<String, Object> filled = Json.object(discovery.get("openid_configuration"));
        filled.replaceAll((name, value) -> value.toString().replace("{authority}", base));
        return filled;
    }

    /** Returns the response with id_token and client_info as they travel. */
    private static Map<String, Object> encode(Map<String, Object> tokens) {
        Map<String, Object> encoded = Json.object(tokens);
        encoded.computeIfPresent("id_token", (name, value) -> {
            Map<String, Object> claims = Json.object(value);
            long now = System.currentTimeMillis() / 1000;
            claims.put("iat", now);
            claims.put("exp", now + 3600);
            return Json.base64(Json.map("alg", "none", "typ", "JWT")) + "." + Json.base64(claims) + ".c2ln";
        });
        encoded.computeIfPresent("client_info", (name, value) -> Json.base64(Json.object(value)));
        return encoded;
    }

    private static HttpResponse answer(int status, Map<String, Object> body) {
        HttpResponse response = new HttpResponse();
        response.statusCode(status);
        response.body(Json.text(body));
        response.addHeaders(Map.of("Content-Type", List.of("application/json")));
        return response;
    }
}
