package interop.peer;

import com.microsoft.aad.msal4j.IAccount;

import java.io.IOException;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;

/** What the commands do, but for {@code write}. */
final class Commands {
    private Commands() {
    }

    static void versions(Arguments arguments) throws IOException {
        Peer.emit(Json.map("peer", "java", "versions", versions()));
    }

    /** Returns the versions of the libraries that the program runs with. */
    static Map<String, Object> versions() throws IOException {
        Map<String, Object> versions = Json.map("java", Runtime.version().toString());
        for (String artifact : List.of("msal4j", "msal4j-persistence-extension")) {
            String path = "/META-INF/maven/com.microsoft.azure/" + artifact + "/pom.properties";
            try (InputStream stream = Commands.class.getResourceAsStream(path)) {
                Properties properties = new Properties();
                properties.load(stream);
                versions.put(artifact, properties.getProperty("version"));
            }
        }
        return versions;
    }

    static void signIn(Arguments arguments) throws Exception {
        Cast cast = Cast.load();
        List<Cast.Flow> flows = cast.inOrder(arguments.flow());
        Stub http = new Stub(cast);
        var persistence = Persistence.open(arguments.cache());
        String token = null;
        for (Cast.Flow flow : flows) {
            http.answerWith(flow.response());
            token = new Application(cast, flow, persistence, http).acquire();
        }
        Map<String, Object> line =
                StoredCache.read(arguments.cache()).signIn(flows.get(flows.size() - 1), token);
        if (line == null) {
            throw new IllegalStateException("the library got a token and did not store it");
        }
        Peer.emit(line);
    }

    static void silent(Arguments arguments) throws Exception {
        Cast cast = Cast.load();
        Stub http = new Stub(cast);
        Application application = open(arguments, cast, http);
        Map<String, Object> line = Json.map("access_token", null, "http", 0, "accounts", List.of(), "error", null);
        try {
            line.put("access_token", application.silent(false));
        } catch (RuntimeException e) {
            line.put("error", Peer.describe(e));
        }
        line.put("http", http.requests());
        try {
            line.put("accounts", describe(application.accounts()));
        } catch (RuntimeException e) {
            line.putIfAbsent("error", Peer.describe(e));
        }
        Peer.emit(line);
    }

    static void refresh(Arguments arguments) throws Exception {
        Cast cast = Cast.load();
        Stub http = new Stub(cast);
        Application application = open(arguments, cast, http);
        http.answerWith(cast.flow(arguments.flow()).response());
        Map<String, Object> line = Json.map("refresh_token_sent", null);
        try {
            application.silent(true);
        } catch (RuntimeException e) {
            if (http.refreshTokenSent() != null) {
                throw e;
            }
            // Nothing to spend is an answer, not a failure.
            line.put("error", Peer.describe(e));
        }
        line.put("refresh_token_sent", http.refreshTokenSent());
        Peer.emit(line);
    }

    static void remove(Arguments arguments) throws Exception {
        Cast cast = Cast.load();
        var persistence = Persistence.open(arguments.cache());
        Set<String> removed = new LinkedHashSet<>();
        for (Cast.Flow flow : List.of(cast.flow("user"), cast.writeAccount().flow())) {
            Application application = new Application(cast, flow, persistence, new Stub(cast));
            for (IAccount account : application.accounts()) {
                application.remove(account);
                removed.add(account.homeAccountId());
            }
        }
        Peer.emit(Json.map("removed", List.copyOf(removed)));
    }

    static void hold(Arguments arguments) throws Exception {
        Persistence.underLock(Persistence.open(arguments.cache()), text -> {
            Peer.emit(Json.map("event", "held", "pid", ProcessHandle.current().pid()));
            sleep(arguments.number("hold-ms"));
            return null;
        });
        Peer.emit(Json.map("event", "released"));
    }

    static void sleep(double milliseconds) {
        try {
            Thread.sleep(Math.max(0, Math.round(milliseconds)));
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    private static Application open(Arguments arguments, Cast cast, Stub http) throws Exception {
        return new Application(cast, cast.flow(arguments.flow()), Persistence.open(arguments.cache()), http);
    }

    private static List<Object> describe(Set<IAccount> accounts) {
        List<Object> described = new ArrayList<>();
        for (IAccount account : accounts) {
            described.add(Json.map("home_account_id", account.homeAccountId(), "username", account.username()));
        }
        return described;
    }
}
