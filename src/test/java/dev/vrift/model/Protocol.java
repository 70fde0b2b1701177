package dev.vrift.model;

import static dev.vrift.model.World.*;

/**
 * Everything that can happen next in a {@link World}: one atomic step of one of the parties. The steps are those of docs/PROTOCOL.md sections
 * 3 to 6; between any two of them everybody else may run. Memory is sequentially consistent here: orders weaker than that are the
 * business of the C code's fences.
 */
final class Protocol {
    /** Ticks that a scenario with a lease may last. */
    private static final int CLOCK_END = 5;

    private final Scenario c;
    private final WriterSteps writers;
    private final DaemonSteps daemon;
    private final ReaderSteps reader;

    Protocol(Scenario scenario) {
        c = scenario;
        writers = new WriterSteps(scenario);
        daemon = new DaemonSteps(scenario);
        reader = new ReaderSteps(scenario);
    }

    void successors(byte[] s, Search.Sink out) {
        reader.steps(s, out);
        for (int i = 0; i < c.writers().size(); i++) {
            writers.steps(s, i, out);
        }
        daemon.steps(s, out);
        unseen(s, out);
        if (c.lease() > 0 && s[CLOCK] < CLOCK_END) {
            byte[] t = s.clone();
            t[CLOCK]++;
            age(t);
            out.next("the clock ticks", t);
        }
    }

    /** Changes older than a lease: from now on everybody is entitled to see them. */
    private void age(byte[] t) {
        for (int v = 1; c.lease() > 0 && v <= c.unseen(); v++) {
            if (t[U_TIME + v] > 0 && t[CLOCK] - (t[U_TIME + v] - 1) >= c.lease()) {
                t[U_AGED] = (byte) Math.max(t[U_AGED], v);
            }
        }
    }

    /** The unseen process: change, event, return; after each it may tell its partner over the pipe. A change may be visible before its event is queued. */
    private void unseen(byte[] s, Search.Sink out) {
        int pc = s[U_PC];
        int round = pc / 4;
        if (round >= c.unseen()) {
            return;
        }
        byte[] t = s.clone();
        int p = c.unseenPath();
        t[U_PC]++;
        switch (pc % 4) {
            case 0 -> {
                if (p == 0) {
                    changed(t, 0, false);
                } else {
                    place(t, 1, s[INO + 1] == 0 ? 5 : 0, false);
                }
                out.next("unseen: path " + p + " changes, visibly", t);
            }
            case 1 -> {
                event(t, p == 0 ? 1 : 2);
                out.next("unseen: its event is queued", t);
            }
            case 2 -> {
                t[U_TIME + round + 1] = (byte) (s[CLOCK] + 1);
                age(t);
                out.next("unseen: its call returns", t);
            }
            default -> {
                t[MESSAGE] = s[PV + p];
                out.next("unseen: writes to the pipe that path " + p + " is at v" + s[PV + p], t);
            }
        }
    }

    /** A new version of the path: what stat answers has changed. recorded: everybody is entitled to see it at once. */
    static void changed(byte[] t, int path, boolean recorded) {
        t[PV + path]++;
        if (t[INO + path] == 0) {
            t[ABSENT + path] |= (byte) (1 << t[PV + path]);
        }
        if (recorded) {
            t[FLOOR + path] = t[PV + path];
        }
        joint(t);
    }

    static void place(byte[] t, int path, int inode, boolean recorded) {
        t[INO + path] = (byte) inode;
        changed(t, path, recorded);
    }

    static void event(byte[] t, int bits) {
        if (t[WATCHING] == 1) {
            t[QUEUE] |= (byte) bits;
        }
    }

    /** Remembers the pair of versions that is true now, while a call runs that needs both. */
    static void joint(byte[] t) {
        if (t[R_PC] != 0) {
            int bit = jointBit(t[PV], t[PV + 1]);
            t[R_JOINT + (bit >> 3)] |= (byte) (1 << (bit & 7));
        }
    }

    /** Versions 0 to 3 of both paths are told apart. */
    static int jointBit(int first, int second) {
        if (first > 3 || second > 3) {
            return 15;
        }
        return first * 4 + second;
    }
}
