package interop.peer;

import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletionException;

/**
 * A peer of the interop suite: MSAL Java and its persistence extension, driven through their public APIs. The commands,
 * their output and flows.json are described in the README of the folder above.
 */
public final class Peer {
    private static final int FAILED = 1;
    private static final int USAGE = 2;
    private static final int UNSUPPORTED = 3;

    private static final PrintStream OUT =
            new PrintStream(new FileOutputStream(FileDescriptor.out), true, StandardCharsets.UTF_8);

    private static final Map<String, Command> COMMANDS = Map.of(
            "versions", new Command(List.of(), Commands::versions),
            "sign-in", new Command(List.of("flow", "cache"), Commands::signIn),
            "silent", new Command(List.of("flow", "cache"), Commands::silent),
            "refresh", new Command(List.of("flow", "cache"), Commands::refresh),
            "remove", new Command(List.of("cache"), Commands::remove),
            "hold", new Command(List.of("cache", "hold-ms"), Commands::hold),
            "write", new Command(List.of("cache", "tag", "count", "mode"), Writer::write));

    private Peer() {
    }

    /** Runs the command named by the first argument and ends the process with its exit status. */
    public static void main(String[] args) {
        System.exit(run(args));
    }

    private static int run(String[] args) {
        Command command = args.length == 0 ? null : COMMANDS.get(args[0]);
        if (command == null) {
            return usage(args.length == 0 ? "no command" : "unknown command " + args[0]);
        }
        Arguments arguments;
        try {
            arguments = Arguments.parse(args, command.required());
        } catch (IllegalArgumentException e) {
            return usage(e.getMessage());
        }
        try {
            command.action().run(arguments);
            return 0;
        } catch (UnsupportedException e) {
            emit(Json.map("unsupported", e.getMessage()));
            return UNSUPPORTED;
        } catch (Exception | LinkageError e) {
            emit(Json.map("error", describe(e)));
            return FAILED;
        }
    }

    private static int usage(String problem) {
        System.err.println(problem);
        System.err.println(
                "usage: peer versions | sign-in | silent | refresh | remove | hold | write [--option value]...");
        return USAGE;
    }

    /** Prints one line of the protocol. */
    static void emit(Map<String, Object> line) {
        OUT.println(Json.text(line));
    }

    /** Returns what stands behind the wrapper that a future puts around an exception. */
    static Throwable cause(Throwable e) {
        return e instanceof CompletionException && e.getCause() != null ? cause(e.getCause()) : e;
    }

    /** Returns the kind and the text of an exception. */
    static String describe(Throwable e) {
        Throwable cause = cause(e);
        return cause.getClass().getSimpleName() + ": " + cause.getMessage();
    }

    private record Command(List<String> required, Action action) {
    }

    private interface Action {
        void run(Arguments arguments) throws Exception;
    }

    /** Says why the library does not have what was asked for. */
    static final class UnsupportedException extends Exception {
        private static final long serialVersionUID = 1L;

        UnsupportedException(String reason) {
            super(reason);
        }
    }
}
