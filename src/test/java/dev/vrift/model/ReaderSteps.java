package dev.vrift.model;

import static dev.vrift.model.World.*;

import dev.vrift.model.Scenario.Look;
import dev.vrift.model.Scenario.Wrong;

/** The reader: docs/PROTOCOL.md section 3, and the property that each of its answers must have. */
final class ReaderSteps {
    private static final int START = 0, READABLE = 1, G_VER = 2, G_PUB = 3, SLOT_VER = 4, SLOT_PUB = 5, ENTRY = 6, PARENT_VER = 7, PARENT_PUB = 8, PARENT = 9,
        PROBE = 10, PARENT_AGAIN = 11, CHECK_AGAIN = 12, NATIVE = 13, TARGET_VER = 14, TARGET_PUB = 15, TARGET = 16;
    /** In R_VALUE: the answer is ENOENT. Versions are smaller. */
    private static final int ABSENT_ANSWER = 100;

    private final Scenario c;

    ReaderSteps(Scenario scenario) {
        c = scenario;
    }

    void steps(byte[] s, Search.Sink out) {
        if (s[R_AT] >= c.reader().size()) {
            return;
        }
        Look look = c.reader().get(s[R_AT]);
        byte[] t = s.clone();
        String what;
        if (look == Look.RECEIVE) {
            if (s[MESSAGE] == 0) {
                return;
            }
            t[R_KNOWS] = s[MESSAGE];
            t[R_NEED] = c.wrong() == Wrong.NEED_FROM_DONE ? s[DONE] : s[STARTED];
            t[R_AT]++;
            what = "reads from the pipe, need = " + t[R_NEED];
        } else if (s[R_PC] <= SLOT_PUB) {
            what = begin(t, look);
        } else {
            what = look(t, look, out);
        }
        if (what != null) {
            out.next(out.labels() ? "reader " + look + ": " + what : null, t);
        }
    }

    private String begin(byte[] t, Look look) {
        int p = t[R_PATH];
        switch (t[R_PC]) {
            case START -> {
                p = look == Look.CHILD || look == Look.BELOW ? 1 : 0;
                t[R_PATH] = (byte) p;
                int known = p == c.unseenPath() && c.unseen() > 0 ? Math.max(t[R_KNOWS], t[U_AGED]) : 0;
                t[R_FLOOR] = (byte) Math.max(t[FLOOR + p], known);
                t[R_PC] = READABLE;
                if (look == Look.FOLLOW) {
                    Protocol.joint(t);
                }
                return "a call begins";
            }
            case READABLE -> {
                boolean need = t[R_NEED] == 0 || t[DONE] > t[R_NEED] || c.wrong() == Wrong.NEED_IGNORED;
                boolean lease = c.lease() == 0 || t[LEASE] > t[CLOCK];
                boolean good = need && lease && t[OVERFLOW] == 0;
                t[R_PC] = (byte) (good ? G_VER : NATIVE);
                return good ? "lease, need and overflow are good" : "may not ask memory";
            }
            case G_VER -> t[R_PC] = loadVer(t, 0, G_PUB);
            case G_PUB -> t[R_PC] = comparePub(t, 0, SLOT_VER);
            case SLOT_VER -> t[R_PC] = loadVer(t, p + 1, SLOT_PUB);
            default -> t[R_PC] = comparePub(t, p + 1, ENTRY);
        }
        return "compares ver and pub, now at step " + t[R_PC];
    }

    private static byte loadVer(byte[] t, int slot, int next) {
        t[R_WORD + slot] = t[VER + slot];
        t[R_USED] |= (byte) (1 << slot);
        return (byte) next;
    }

    private static byte comparePub(byte[] t, int slot, int next) {
        return (byte) (t[PUB + slot] == t[R_WORD + slot] ? next : NATIVE);
    }

    private String look(byte[] t, Look look, Search.Sink out) {
        switch (t[R_PC]) {
            case ENTRY -> {
                return entry(t, look);
            }
            case PARENT_VER -> t[R_PC] = loadVer(t, parentSlot(), PARENT_PUB);
            case PARENT_PUB -> t[R_PC] = comparePub(t, parentSlot(), PARENT);
            case PARENT -> {
                t[R_SEQ] = t[PARENT_SEQ];
                t[R_PC] = (byte) (t[COMPLETE] == 1 ? PROBE : NATIVE);
                return "reads the parent";
            }
            case PROBE -> {
                boolean absent = t[STATE + 1] == NONE || t[STATE + 1] == CLEAN && absent(t, 1, t[STORED + 1]);
                t[R_VALUE] = ABSENT_ANSWER;
                t[R_PC] = (byte) (!absent ? NATIVE : c.wrong() == Wrong.NO_SECOND_LOOK_AT_PARENT ? CHECK_AGAIN : PARENT_AGAIN);
                return "probes the child: " + (absent ? "absent" : "there");
            }
            case PARENT_AGAIN -> {
                t[R_PC] = (byte) (t[COMPLETE] == 1 && t[R_SEQ] == t[PARENT_SEQ] ? CHECK_AGAIN : NATIVE);
                return "reads the parent again";
            }
            case TARGET_VER -> t[R_PC] = loadVer(t, 2, TARGET_PUB);
            case TARGET_PUB -> t[R_PC] = comparePub(t, 2, TARGET);
            case TARGET -> {
                boolean clean = t[STATE + 1] == CLEAN && !absent(t, 1, t[STORED + 1]);
                t[R_VALUE] = (byte) (t[R_VALUE] * 8 + t[STORED + 1]);
                t[R_PC] = (byte) (clean ? CHECK_AGAIN : NATIVE);
                return "reads the target";
            }
            case CHECK_AGAIN -> {
                return checkAgain(t, look, out);
            }
            default -> {
                return answerNative(t, look);
            }
        }
        return "compares ver and pub, now at step " + t[R_PC];
    }

    private static boolean absent(byte[] t, int path, int version) {
        return (t[ABSENT + path] >> version & 1) == 1;
    }

    private int parentSlot() {
        return c.crowded() ? 2 : 1;
    }

    private String entry(byte[] t, Look look) {
        int p = t[R_PATH];
        if (look == Look.BELOW) {
            t[R_PC] = PARENT_VER;
            return "finds nothing of that name, goes up";
        }
        t[R_VALUE] = t[STORED + p];
        if (t[STATE + p] == CLEAN && !absent(t, p, t[STORED + p])) {
            boolean points = look != Look.FOLLOW || t[STORED] == 0;
            t[R_PC] = (byte) (!points ? NATIVE : look == Look.FOLLOW ? TARGET_VER : CHECK_AGAIN);
            return "reads the entry, v" + t[R_VALUE];
        }
        boolean gone = t[STATE + p] == NONE || t[STATE + p] == CLEAN;
        t[R_PC] = (byte) (gone && p == 1 ? PARENT_VER : NATIVE);
        return "finds no clean entry";
    }

    /** Step 4: one word after the other; then the answer, which is compared with the truth. */
    private String checkAgain(byte[] t, Look look, Search.Sink out) {
        if (c.wrong() != Wrong.NO_SECOND_CHECK) {
            for (int slot = 0; slot < 3; slot++) {
                if ((t[R_USED] & 1 << slot) != 0) {
                    t[R_USED] &= (byte) ~(1 << slot);
                    boolean same = t[VER + slot] == t[R_WORD + slot];
                    t[R_PC] = (byte) (same ? CHECK_AGAIN : NATIVE);
                    return "ver of slot " + slot + (same ? " is the same" : " has changed");
                }
            }
        }
        int p = t[R_PATH];
        int value = t[R_VALUE];
        if (look == Look.FOLLOW) {
            int bit = Protocol.jointBit(value / 8, value % 8);
            if ((t[R_JOINT + (bit >> 3)] >> (bit & 7) & 1) == 0) {
                out.wrong("answered link v" + value / 8 + " with target v" + value % 8 + ", which were never true together");
                return null;
            }
        } else if (!allowed(t, p, value)) {
            out.wrong("answered " + (value == ABSENT_ANSWER ? "ENOENT" : "v" + value) + " for path " + p + "; true in this call: v" + t[R_FLOOR] + " to v" + t[PV + p]);
            return null;
        }
        if (p == 1 && value != ABSENT_ANSWER) {
            learn(t, value);
        }
        finish(t);
        return "answers " + (value == ABSENT_ANSWER ? "ENOENT" : "v" + value);
    }

    private static boolean allowed(byte[] t, int p, int value) {
        if (value != ABSENT_ANSWER) {
            return value >= t[R_FLOOR] && value <= t[PV + p];
        }
        for (int v = t[R_FLOOR]; v <= t[PV + p]; v++) {
            if (absent(t, p, v)) {
                return true;
            }
        }
        return false;
    }

    /** What the writer of this version of the child knew, its reader knows too. */
    private static void learn(byte[] t, int version) {
        if (t[CHILD_KNOWS] > 0 && version >= t[CHILD_KNOWS_FROM]) {
            t[R_KNOWS] = (byte) Math.max(t[R_KNOWS], t[CHILD_KNOWS]);
        }
    }

    private static String answerNative(byte[] t, Look look) {
        if (look == Look.CHILD || look == Look.BELOW) {
            learn(t, t[PV + 1]);
        }
        finish(t);
        return "makes the real call";
    }

    private static void finish(byte[] t) {
        for (int i = R_WORD; i <= R_JOINT + 1; i++) {
            t[i] = 0;
        }
        t[R_PATH] = 0;
        t[R_PC] = START;
        t[R_AT]++;
    }
}
