package dev.vrift.cli;

import dev.vrift.platform.Spelling;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** The words behind a command: flags that it knows, values of options, and the rest in order. Immutable once parsed. */
final class Arguments {
  private final Set<String> flags = new HashSet<>();
  private final Map<String, String> values = new java.util.HashMap<>();
  private final Map<String, List<String>> repeated = new java.util.HashMap<>();
  private final List<String> rest = new ArrayList<>();

  private Arguments() {}

  /** {@code known} are the flags ({@code --json}) and, ending in {@code =}, options with a value ({@code --set=}). Unknown ones are refused. */
  static Arguments parse(String command, List<String> words, int maxRest, String... known) throws Failure {
    Arguments out = new Arguments();
    Set<String> all = Set.of(known);
    boolean plain = false;
    for (int i = 0; i < words.size(); i++) {
      String w = words.get(i);
      int equals = w.indexOf('=');
      String option = equals < 0 ? w + "=" : w.substring(0, equals + 1);
      if (plain || !w.startsWith("-") || w.equals("-")) {
        out.rest.add(w);
      } else if (w.equals("--")) {
        plain = true;
      } else if (equals < 0 && all.contains(w)) {
        out.flags.add(w);
      } else if (all.contains(option)) {
        if (equals < 0 && ++i >= words.size()) {
          throw Failure.usage(w + " needs a value", command);
        }
        String value = equals < 0 ? words.get(i) : w.substring(equals + 1);
        if (value.isEmpty()) { /* an unset variable of a script must not mean "no limit" */
          throw Failure.usage((equals < 0 ? w : w.substring(0, equals)) + " has an empty value", command);
        }
        out.values.put(option, value);
        out.repeated.computeIfAbsent(option, k -> new ArrayList<>()).add(value);
      } else {
        throw Failure.usage(command + " has no option " + w + Spelling.hint(equals < 0 ? w : w.substring(0, equals), options(all)), command);
      }
    }
    if (out.rest.size() > maxRest) {
      throw Failure.usage(command + ": '" + out.rest.get(maxRest) + "' is one word too many", command);
    }
    return out;
  }

  private static Set<String> options(Set<String> known) {
    Set<String> out = new HashSet<>();
    known.forEach(k -> out.add(k.endsWith("=") ? k.substring(0, k.length() - 1) : k));
    return out;
  }

  /** The word behind the command; refuses one that is none of these. */
  String choice(String command, List<String> known) throws Failure {
    String all = known.size() == 1 ? known.get(0) : String.join(", ", known.subList(0, known.size() - 1)) + " or " + known.getLast();
    String word = first(command, (known.size() == 1 ? "a word: " : "") + all);
    if (!known.contains(word)) {
      throw Failure.usage(command + " cannot '" + word + "'" + Spelling.hint(word, known), command);
    }
    return word;
  }

  boolean has(String flag) {
    return flags.contains(flag);
  }

  /** Every value of an option that may be given more than once. */
  List<String> all(String option) {
    return repeated.getOrDefault(option, List.of());
  }

  /** The value of an option named with its {@code =}, or null. */
  String value(String option) {
    return values.get(option);
  }

  List<String> rest() {
    return rest;
  }

  String first(String command, String what) throws Failure {
    if (rest.isEmpty()) {
      throw Failure.usage(command + " needs " + what, command);
    }
    return rest.get(0);
  }
}
