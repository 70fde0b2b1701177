package dev.vrift.model;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** Explicit-state search, breadth first, so that the trace of a violation is a shortest one. One thread, all states in memory. */
final class Search {
    /** More states than this and the scenario is too big for a test. */
    static final int MOST_STATES = 4_000_000;

    /** Takes what a state can become. */
    interface Sink {
        /** what is null unless labels are wanted. */
        void next(String what, byte[] state);

        void wrong(String what);

        boolean labels();
    }

    /** @param violation null, or the wrong answer and the shortest way to it */
    record Result(int states, String violation) { }

    private final Scenario scenario;
    private final Protocol protocol;
    private final Map<World, World> parents = new HashMap<>(1 << 16);

    private Search(Scenario scenario) {
        this.scenario = scenario;
        protocol = new Protocol(scenario);
    }

    static Result run(Scenario scenario) {
        return new Search(scenario).explore();
    }

    private Result explore() {
        World first = new World(World.initial(scenario));
        parents.put(first, first);
        ArrayDeque<World> open = new ArrayDeque<>();
        open.add(first);
        while (!open.isEmpty()) {
            World from = open.remove();
            String[] wrong = new String[1];
            protocol.successors(from.b, new Sink() {
                @Override
                public void next(String what, byte[] state) {
                    World to = new World(state);
                    if (parents.putIfAbsent(to, from) == null) {
                        open.add(to);
                    }
                }

                @Override
                public void wrong(String what) {
                    wrong[0] = what;
                }

                @Override
                public boolean labels() {
                    return false;
                }
            });
            if (wrong[0] != null) {
                return new Result(parents.size(), wrong[0] + "\n" + trace(from));
            }
            if (parents.size() > MOST_STATES) {
                throw new IllegalStateException("more than " + MOST_STATES + " states: " + scenario);
            }
        }
        return new Result(parents.size(), null);
    }

    private String trace(World last) {
        List<World> way = new ArrayList<>();
        for (World w = last; parents.get(w) != w; w = parents.get(w)) {
            way.add(w);
        }
        Collections.reverse(way);
        StringBuilder text = new StringBuilder();
        World at = new World(World.initial(scenario));
        for (World w : way) {
            text.append("  ").append(label(at, w)).append("   {").append(World.show(w.b, scenario.writers().size())).append("}\n");
            at = w;
        }
        return text.toString();
    }

    private String label(World from, World to) {
        String[] found = {"?"};
        protocol.successors(from.b, new Sink() {
            @Override
            public void next(String what, byte[] state) {
                if (new World(state).equals(to)) {
                    found[0] = what;
                }
            }

            @Override
            public void wrong(String what) { }

            @Override
            public boolean labels() {
                return true;
            }
        });
        return found[0];
    }
}
