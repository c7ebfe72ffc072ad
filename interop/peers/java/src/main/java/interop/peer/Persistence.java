package interop.peer;

import com.microsoft.aad.msal4j.IAccount;
import com.microsoft.aad.msal4j.ITokenCache;
import com.microsoft.aad.msal4j.ITokenCacheAccessContext;
import com.microsoft.aad.msal4jextensions.PersistenceSettings;
import com.microsoft.aad.msal4jextensions.PersistenceTokenCacheAccessAspect;

import java.io.IOException;
import java.nio.file.Path;
import java.util.function.UnaryOperator;

/** The extension's persistence over the plaintext file. Its lock is {@code .lockfile} in the file's folder. */
final class Persistence {
    private Persistence() {
    }

    /** Opens the file, and makes an empty one where there is none, as the extension does. */
    static PersistenceTokenCacheAccessAspect open(Path cache) throws IOException {
        return new PersistenceTokenCacheAccessAspect(
                PersistenceSettings.builder(cache.getFileName().toString(), cache.getParent())
                        .setLinuxUseUnprotectedFileAsCacheStorage(true)
                        .build());
    }

    /**
     * Runs a function over the file's text while the extension holds its lock, and has the extension write what it
     * returns; null writes nothing. The extension's lock is not public: it is held between the two calls of an access.
     */
    static void underLock(PersistenceTokenCacheAccessAspect persistence, UnaryOperator<String> inside) {
        Text text = new Text();
        boolean write = false;
        try {
            persistence.beforeCacheAccess(new Access(text, true));
            text.value = inside.apply(text.value);
            write = text.value != null;
        } finally {
            persistence.afterCacheAccess(new Access(text, write));
        }
    }

    /** Stands for the memory of a client: the text as it was read. */
    private static final class Text implements ITokenCache {
        private String value = "";

        @Override
        public void deserialize(String data) {
            value = data;
        }

        @Override
        public String serialize() {
            return value;
        }
    }

    private record Access(ITokenCache tokenCache, boolean hasCacheChanged) implements ITokenCacheAccessContext {
        @Override
        public String clientId() {
            return null;
        }

        @Override
        public IAccount account() {
            return null;
        }
    }
}
