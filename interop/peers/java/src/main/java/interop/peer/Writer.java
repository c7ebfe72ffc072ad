package interop.peer;

import com.microsoft.aad.msal4jextensions.PersistenceTokenCacheAccessAspect;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** The command {@code write}: one process among several that write the same cache at once. */
final class Writer {
    private final Cast.WriteAccount account;
    private final String tag;
    private final PersistenceTokenCacheAccessAspect persistence;
    private final Stub http;
    private final Application application;

    private Writer(Cast cast, Arguments arguments) throws Exception {
        account = cast.writeAccount();
        tag = arguments.tag();
        persistence = Persistence.open(arguments.cache());
        http = new Stub(cast);
        application = new Application(cast, account.flow(), persistence, http);
    }

    static void write(Arguments arguments) throws Exception {
        Writer writer = new Writer(Cast.load(), arguments);
        int count = (int) arguments.number("count");
        List<Object> acked = new ArrayList<>();
        Map<String, Object> errors = Json.map();
        Commands.sleep(1000 * arguments.number("start-at") - System.currentTimeMillis());
        for (int i = 0; i < count; i++) {
            try {
                writer.update(arguments.raw(), i);
                acked.add(i);
                if (arguments.progress()) {
                    Peer.emit(Json.map("ack", i));
                }
            } catch (RuntimeException e) {
                errors.merge(Peer.cause(e).getClass().getSimpleName(), 1, (n, one) -> (int) n + (int) one);
            }
            Commands.sleep(2 * arguments.number("pause-ms") * Math.random());
        }
        Peer.emit(Json.map("peer", "java", "tag", arguments.tag(), "mode", arguments.raw() ? "raw" : "library",
                "asked", count, "acked", acked, "acked_count", acked.size(), "errors", errors,
                "versions", Commands.versions()));
    }

    private void update(boolean raw, int i) {
        if (raw) {
            Persistence.underLock(persistence, text -> withEntry(text, i));
            return;
        }
        application.accounts();
        http.answerWith(account.response(tag, i));
        application.acquire(Set.of(Cast.WriteAccount.target(tag, i)));
    }

    private String withEntry(String text, int i) {
        Map<String, Object> document = text.isBlank() ? Json.map() : Json.parse(text);
        Map<String, Object> tokens = Json.object(document.get("AccessToken"));
        tokens.put(account.key(tag, i), account.entry(tag, i));
        document.put("AccessToken", tokens);
        return Json.text(document);
    }
}
