package interop.peer;

import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** The options of a command line; each command reads those that it has. */
record Arguments(Map<String, String> values) {
    private static final Set<String> KNOWN =
            Set.of("flow", "cache", "tag", "mode", "progress", "count", "hold-ms", "pause-ms", "start-at");
    private static final Set<String> NUMBERS = Set.of("count", "hold-ms", "pause-ms", "start-at");

    /** Reads what follows the command; throws IllegalArgumentException with what is wrong. */
    static Arguments parse(String[] args, List<String> required) {
        Map<String, String> values = new HashMap<>();
        for (int i = 1; i < args.length; i += 2) {
            String name = args[i].startsWith("--") ? args[i].substring(2) : "";
            if (!KNOWN.contains(name)) {
                throw new IllegalArgumentException("unknown option " + args[i]);
            }
            if (i + 1 == args.length) {
                throw new IllegalArgumentException(args[i] + " has no value");
            }
            if (NUMBERS.contains(name)) {
                Double.parseDouble(args[i + 1]);
            }
            values.put(name, args[i + 1]);
        }
        for (String name : required) {
            if (!values.containsKey(name)) {
                throw new IllegalArgumentException("--" + name + " is missing");
            }
        }
        if (!Set.of("raw", "library").contains(values.getOrDefault("mode", "raw"))) {
            throw new IllegalArgumentException("--mode is raw or library, not " + values.get("mode"));
        }
        return new Arguments(values);
    }

    String flow() {
        return values.get("flow");
    }

    Path cache() {
        return Path.of(values.get("cache")).toAbsolutePath();
    }

    String tag() {
        return values.get("tag");
    }

    boolean raw() {
        return "raw".equals(values.get("mode"));
    }

    boolean progress() {
        return "yes".equals(values.get("progress"));
    }

    /** Returns the number given for an option, or 0. */
    double number(String name) {
        return Double.parseDouble(values.getOrDefault(name, "0"));
    }
}
