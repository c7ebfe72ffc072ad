package interop.peer;

import com.microsoft.aad.msal4j.AbstractClientApplicationBase;
import com.microsoft.aad.msal4j.AuthorizationCodeParameters;
import com.microsoft.aad.msal4j.ClientCredentialFactory;
import com.microsoft.aad.msal4j.ClientCredentialParameters;
import com.microsoft.aad.msal4j.ConfidentialClientApplication;
import com.microsoft.aad.msal4j.IAccount;
import com.microsoft.aad.msal4j.IAuthenticationResult;
import com.microsoft.aad.msal4j.ITokenCacheAccessAspect;
import com.microsoft.aad.msal4j.OnBehalfOfParameters;
import com.microsoft.aad.msal4j.PublicClientApplication;
import com.microsoft.aad.msal4j.SilentParameters;
import com.microsoft.aad.msal4j.UserAssertion;

import java.net.MalformedURLException;
import java.net.URI;
import java.util.Set;
import java.util.concurrent.CompletableFuture;

/** A client of the library for one flow. */
final class Application {
    private final Cast cast;
    private final Cast.Flow flow;
    private final AbstractClientApplicationBase client;

    Application(Cast cast, Cast.Flow flow, ITokenCacheAccessAspect persistence, Stub http)
            throws MalformedURLException, Peer.UnsupportedException {
        if (flow.text("jwk") != null) {
            throw new Peer.UnsupportedException("MSAL Java has no SSH certificates");
        }
        if (flow.text("key_id") != null) {
            throw new Peer.UnsupportedException("MSAL Java gets proof-of-possession tokens through a broker alone, "
                    + "and the broker keeps them");
        }
        this.cast = cast;
        this.flow = flow;
        AbstractClientApplicationBase.Builder<?> builder = isPublic()
                ? PublicClientApplication.builder(flow.text("client_id"))
                : ConfidentialClientApplication.builder(flow.text("client_id"),
                        ClientCredentialFactory.createFromSecret(cast.clientSecret()));
        if ("b2c".equals(flow.text("authority_type"))) {
            builder.b2cAuthority(flow.text("authority"));
        } else {
            builder.authority(flow.text("authority"));
        }
        builder.httpClient(http);
        builder.setTokenCacheAccessAspect(persistence);
        // The builders share no public build method.
        client = builder instanceof PublicClientApplication.Builder publicBuilder ? publicBuilder.build()
                : ((ConfidentialClientApplication.Builder) builder).build();
    }

    /** Gets a token as the flow's grant says, and returns it. */
    String acquire() throws MalformedURLException {
        return isPublic() ? acquire(flow.scopes()) : confidential(false);
    }

    /** Gets a token for these scopes with an authorization code, and returns it. */
    String acquire(Set<String> scopes) {
        return token(client.acquireToken(
                AuthorizationCodeParameters.builder("code", URI.create(cast.redirectUri())).scopes(scopes).build()));
    }

    /** Asks for the flow's token: from the cache, or past the cached one if {@code renew} is true. */
    String silent(boolean renew) throws MalformedURLException {
        if (!isPublic()) {
            return confidential(renew);
        }
        return token(client.acquireTokenSilently(
                SilentParameters.builder(flow.scopes(), account()).forceRefresh(renew).build()));
    }

    Set<IAccount> accounts() {
        return client.getAccounts().join();
    }

    void remove(IAccount account) {
        client.removeAccount(account).join();
    }

    private boolean isPublic() {
        return "code".equals(flow.text("grant"));
    }

    private String confidential(boolean renew) {
        ConfidentialClientApplication confidential = (ConfidentialClientApplication) client;
        return switch (flow.text("grant")) {
            case "client_credentials" -> {
                var parameters = ClientCredentialParameters.builder(flow.scopes()).skipCache(renew);
                if (flow.components().get("fmi_path") instanceof String path) {
                    parameters.fmiPath(path);
                }
                yield token(confidential.acquireToken(parameters.build()));
            }
            case "on_behalf_of" -> token(confidential.acquireToken(
                    OnBehalfOfParameters.builder(flow.scopes(), new UserAssertion(flow.text("assertion")))
                            .skipCache(renew).build()));
            default -> throw new IllegalArgumentException("unknown grant " + flow.text("grant"));
        };
    }

    /** Returns the flow's account; MSAL Java appends the policy to the id of a B2C account once more. */
    private IAccount account() {
        String id = flow.homeAccountId();
        Set<IAccount> listed = accounts();
        return listed.stream().filter(account -> account.homeAccountId().equals(id)).findFirst()
                .or(() -> listed.stream().filter(account -> account.homeAccountId().startsWith(id + "-")).findFirst())
                .orElseThrow(() -> new IllegalStateException("no account " + id));
    }

    private static String token(CompletableFuture<IAuthenticationResult> result) {
        return result.join().accessToken();
    }
}
