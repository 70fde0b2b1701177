package dev.vrift.model;

import java.util.Arrays;

/**
 * One state of the model: small numbers in a byte array, so that states can be copied, compared and counted in millions. Versions
 * stand for what stat would answer: every change of a path gives it the next version, so "true at some moment between a and b"
 * is "between the versions at a and at b".
 */
final class World {
    /** Per path: version, inode (0 absent), versions in which it was absent (bits), the version everybody is entitled to see. */
    static final int PV = 0, INO = 2, ABSENT = 4, FLOOR = 6;
    /** Per slot. Slot 0 is G; path p has slot p + 1; the child's directory has slot 1, or 2 in a crowded world. */
    static final int VER = 8, PUB = 11;
    /** Per path, in memory: NONE, UNVERIFIED or CLEAN, and the version that was stored. */
    static final int STATE = 14, STORED = 16;
    static final int COMPLETE = 18, PARENT_SEQ = 19, RESCAN = 20, FORGOTTEN = 21;
    static final int QUEUE = 22, WATCHING = 23, STARTED = 24, DONE = 25;
    static final int D_PC = 26, D_SLOT = 27, D_VER = 28, D_AT = 29, D_STAT = 30, D_INODE = 31, D_HELD = 32, D_TURNS = 33, D_KILLS = 34, D_T0 = 35;
    static final int W_KILLS = 36, U_PC = 37, MESSAGE = 38, CHILD_KNOWS_FROM = 39, CHILD_KNOWS = 40;
    static final int R_PC = 41, R_AT = 42, R_NEED = 43, R_KNOWS = 44, R_WORD = 45, R_USED = 48, R_FLOOR = 49, R_VALUE = 50, R_SEQ = 51, R_JOINT = 52;
    static final int CLOCK = 54, LEASE = 55, U_TIME = 56, U_AGED = 60, R_PATH = 61, OVERFLOW = 62;
    /** Per writer: program counter, operation, need, knowledge, dead, and its record: live, kind, slots (bits), inode, owner gone. */
    /** Events read and not applied; 1 + state of the child's entry while it is out of the index. */
    static final int JOURNAL = 63, NODE = 64;
    static final int WRITERS = 65, W_SIZE = 11;
    static final int W_PC = 0, W_AT = 1, W_NEED = 2, W_KNOWS = 3, W_DEAD = 4, REC_LIVE = 5, REC_KIND = 6, REC_SLOTS = 7, REC_INODE = 8, REC_GONE = 9,
        W_OPENED = 10;

    static final int NONE = 0, UNVERIFIED = 1, CLEAN = 2;
    static final int OP = 0, HELD = 1, BLIND = 2;
    static final int EVENT_DIRECTORY_MOVED = 4;

    final byte[] b;
    private final int hash;

    World(byte[] bytes) {
        b = bytes;
        hash = Arrays.hashCode(bytes);
    }

    static byte[] initial(Scenario c) {
        byte[] s = new byte[WRITERS + W_SIZE * c.writers().size()];
        s[INO] = 1;
        s[STATE] = CLEAN;
        s[INO + 1] = (byte) (c.childKnown() ? 2 : 0);
        s[STATE + 1] = (byte) (c.childKnown() ? CLEAN : NONE);
        s[ABSENT + 1] = (byte) (c.childKnown() ? 0 : 1);
        s[COMPLETE] = 1;
        s[WATCHING] = 1;
        s[STARTED] = 1;
        s[DONE] = 1;
        s[D_TURNS] = (byte) c.turns();
        s[D_KILLS] = (byte) c.daemonKills();
        s[W_KILLS] = (byte) c.writerKills();
        s[LEASE] = (byte) c.lease();
        return s;
    }

    @Override
    public boolean equals(Object o) {
        return o instanceof World w && w.hash == hash && Arrays.equals(w.b, b);
    }

    @Override
    public int hashCode() {
        return hash;
    }

    /** For the trace of a violation. */
    static String show(byte[] s, int writers) {
        StringBuilder t = new StringBuilder(96);
        t.append("file v").append(s[PV]).append(" i").append(s[INO]).append(" child v").append(s[PV + 1]).append(" i").append(s[INO + 1]);
        t.append(" | ver ").append(s[VER]).append(s[VER + 1]).append(s[VER + 2]).append(" pub ").append(s[PUB]).append(s[PUB + 1]).append(s[PUB + 2]);
        for (int p = 0; p < 2; p++) {
            t.append(p == 0 ? " | mem " : " ").append(s[STATE + p] == NONE ? "none" : s[STATE + p] == CLEAN ? "clean" : "unverified").append(" v").append(s[STORED + p]);
        }
        t.append(s[COMPLETE] == 1 ? " complete" : "").append(" | queue ").append(s[QUEUE]).append('+').append(s[JOURNAL]).append(" drain ").append(s[STARTED]).append('/').append(s[DONE]);
        for (int i = 0; i < writers; i++) {
            int w = WRITERS + i * W_SIZE;
            if (s[w + REC_LIVE] == 1) {
                t.append(" | rec").append(i).append(s[w + REC_KIND] == OP ? " OP" : s[w + REC_KIND] == HELD ? " HELD" : " BLIND").append(" slots ")
                    .append(Integer.toBinaryString(s[w + REC_SLOTS])).append(" i").append(s[w + REC_INODE]);
            }
        }
        return t.toString();
    }
}
