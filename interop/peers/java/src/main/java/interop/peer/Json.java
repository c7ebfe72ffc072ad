package interop.peer;

import com.azure.json.JsonProviders;
import com.azure.json.JsonReader;
import com.azure.json.JsonWriter;

import java.io.IOException;
import java.io.StringWriter;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** JSON as maps, lists and values. */
final class Json {
    private Json() {
    }

    /** Returns the object that the text holds; throws if it is not one JSON object. */
    static Map<String, Object> parse(String text) {
        try (JsonReader reader = JsonProviders.createReader(text)) {
            return object(reader.readUntyped());
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Returns the compact text of an object. */
    static String text(Map<String, Object> object) {
        StringWriter text = new StringWriter();
        try (JsonWriter writer = JsonProviders.createWriter(text)) {
            writer.writeUntyped(object).flush();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return text.toString();
    }

    /** Returns base64url without padding of an object's text. */
    static String base64(Map<String, Object> object) {
        return Base64.getUrlEncoder().withoutPadding().encodeToString(text(object).getBytes(StandardCharsets.UTF_8));
    }

    /** Returns a copy of an object; absent counts as empty. */
    static Map<String, Object> object(Object value) {
        Map<String, Object> copy = new LinkedHashMap<>();
        if (value instanceof Map<?, ?> map) {
            map.forEach((name, member) -> copy.put(name.toString(), member));
        } else if (value != null) {
            throw new IllegalArgumentException("a JSON object is wanted");
        }
        return copy;
    }

    /** Returns a list of texts; absent counts as empty. */
    static List<String> texts(Object value) {
        List<String> copy = new ArrayList<>();
        if (value instanceof List<?> list) {
            list.forEach(element -> copy.add(element.toString()));
        }
        return copy;
    }

    /** Returns an object of names and values in turn, in this order; values may be null. */
    static Map<String, Object> map(Object... namesAndValues) {
        Map<String, Object> map = new LinkedHashMap<>();
        for (int i = 0; i < namesAndValues.length; i += 2) {
            map.put((String) namesAndValues[i], namesAndValues[i + 1]);
        }
        return map;
    }
}
