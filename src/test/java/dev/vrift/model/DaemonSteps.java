package dev.vrift.model;

import static dev.vrift.model.World.*;

import dev.vrift.model.Scenario.Wrong;

/** The apply thread: docs/PROTOCOL.md section 6; a successor that begins anew (section 8), and one that goes on (docs/ADOPTION.md section 4). */
final class DaemonSteps {
    private static final int IDLE = 0, DRAIN = 1, DRAINED = 2, CHOOSE = 3, CLEAN_VER = 10, CLEAN_SCAN = 11, CLEAN_DRAIN = 12, CLEAN_STAT = 13, CLEAN_WRITE = 14,
        CLEAN_PUBLISH = 15, CLEAN_INODES = 16, VERIFY_SCAN = 20, VERIFY_STAT = 21, VERIFY_WRITE = 22, LIST = 30, LIST_DRAIN = 31, LIST_DONE = 32, DEAD = 40, ADOPT_ENTRIES = 41,
        ADOPT_WATCH = 42, FORGET_ENTRY = 50, KEPT = 60, KEPT_REPAIR = 61, KEPT_REFILL = 62, KEPT_JOURNAL = 63;
    /** The mandatory order, and the orders that must be caught. */
    private static final int[] RIGHT = {CLEAN_VER, CLEAN_SCAN, CLEAN_INODES, CLEAN_DRAIN, CLEAN_STAT, CLEAN_WRITE, CLEAN_PUBLISH};
    private final int[] order;
    private final Scenario c;
    private final int writers;

    DaemonSteps(Scenario scenario) {
        c = scenario;
        writers = scenario.writers().size();
        order = scenario.wrong() == null ? RIGHT : switch (scenario.wrong()) {
            case SCAN_BEFORE_VER -> new int[] {CLEAN_SCAN, CLEAN_INODES, CLEAN_VER, CLEAN_DRAIN, CLEAN_STAT, CLEAN_WRITE, CLEAN_PUBLISH};
            case STAT_BEFORE_SCAN -> new int[] {CLEAN_VER, CLEAN_DRAIN, CLEAN_STAT, CLEAN_WRITE, CLEAN_SCAN, CLEAN_INODES, CLEAN_PUBLISH};
            case PUBLISH_BEFORE_STAT -> new int[] {CLEAN_VER, CLEAN_SCAN, CLEAN_INODES, CLEAN_DRAIN, CLEAN_PUBLISH, CLEAN_STAT, CLEAN_WRITE};
            case DRAIN_BEFORE_SCAN -> new int[] {CLEAN_VER, CLEAN_DRAIN, CLEAN_SCAN, CLEAN_INODES, CLEAN_STAT, CLEAN_WRITE, CLEAN_PUBLISH};
            case ONE_PASS_OVER_RECORDS -> new int[] {CLEAN_VER, CLEAN_SCAN, CLEAN_DRAIN, CLEAN_STAT, CLEAN_WRITE, CLEAN_PUBLISH};
            default -> RIGHT;
        };
    }

    void steps(byte[] s, Search.Sink out) {
        int pc = s[D_PC];
        if (c.kept() && s[D_KILLS] > 0 && (pc < DEAD || pc > KEPT)) {
            killed(s, out);
        } else if (s[D_KILLS] > 0 && pc < DEAD) {
            byte[] t = s.clone();
            t[D_KILLS]--;
            t[QUEUE] = 0;
            t[WATCHING] = 0;
            t[RESCAN] = 0;
            to(t, DEAD);
            out.next("the daemon is killed, its watches and its queue are gone", t);
        }
        if (pc == IDLE) {
            idle(s, out);
        } else if (pc <= DRAINED) {
            drain(s, out);
        } else if (pc == CHOOSE) {
            choose(s, out);
        } else if (pc < VERIFY_SCAN) {
            clean(s, out);
        } else if (pc < LIST) {
            verify(s, out);
        } else if (pc < DEAD) {
            list(s, out);
        } else if (pc < KEPT) {
            adopt(s, out);
        } else {
            goOn(s, out);
        }
    }

    /** Queue, journal and entries stay; what only the dead one remembered is gone. */
    private void killed(byte[] s, Search.Sink out) {
        byte[] t = s.clone();
        t[D_KILLS]--;
        t[D_T0] = 0;
        if (t[COMPLETE] == 0) {
            t[RESCAN] = 1;
        }
        if (c.wrong() == Wrong.ADOPTED_WITHOUT_JOURNAL) {
            t[JOURNAL] = 0;
        }
        boolean writing = s[D_PC] == VERIFY_WRITE;
        int p = s[D_SLOT] - 1;
        to(t, DEAD);
        t[D_PC] = KEPT;
        out.next("the daemon is killed, its queue is kept", t);
        if (writing) {
            byte[] u = t.clone();
            u[STATE + p] = (byte) (c.wrong() == Wrong.ADOPTED_HALF_WRITTEN ? CLEAN : UNVERIFIED);
            out.next("the daemon is killed while it writes the entry of path " + p, u);
        }
    }

    /** G dirty, what is half-done is done, the journal; everything else is the business of the first turn. */
    private void goOn(byte[] s, Search.Sink out) {
        byte[] t = s.clone();
        switch (s[D_PC]) {
            case KEPT -> {
                if (c.wrong() != Wrong.ADOPTED_WITHOUT_G && c.wrong() != Wrong.ADOPTED_LEASE_FIRST && c.wrong() != Wrong.ADOPTED_DRAIN_DONE) {
                    t[VER]++;
                }
                t[D_PC] = KEPT_REPAIR;
                out.next("successor: G is dirty", t);
            }
            case KEPT_REPAIR -> {
                if (s[NODE] == 0) {
                    t[D_PC] = KEPT_JOURNAL;
                    out.next("successor: the index is good", t);
                }
                if (s[NODE] != 0 || s[STATE + 1] != NONE) {
                    byte[] u = s.clone();
                    u[NODE] = (byte) (s[NODE] != 0 ? s[NODE] : s[STATE + 1] + 1);
                    u[STATE + 1] = NONE;
                    u[D_PC] = KEPT_REFILL;
                    out.next("successor: empties the index", u);
                }
            }
            case KEPT_REFILL -> {
                t[STATE + 1] = (byte) (s[NODE] - 1);
                t[NODE] = 0;
                t[D_PC] = KEPT_JOURNAL;
                out.next("successor: the index is made anew", t);
            }
            default -> {
                if (s[JOURNAL] != 0) {
                    out.next("successor: " + apply(t, JOURNAL), t);
                    return;
                }
                if (c.wrong() == Wrong.ADOPTED_LEASE_FIRST) {
                    t[LEASE] = (byte) (s[CLOCK] + c.lease());
                }
                if (c.wrong() == Wrong.ADOPTED_DRAIN_DONE) {
                    t[DONE] = s[STARTED];
                }
                if (c.wrong() == Wrong.ADOPTED_G_PUBLISHED) {
                    t[PUB] = s[VER];
                }
                to(t, IDLE);
                out.next("successor: goes on", t);
            }
        }
    }

    private static void to(byte[] t, int pc) {
        t[D_PC] = (byte) pc;
        if (pc == IDLE || pc == CHOOSE || pc == DEAD) {
            t[D_SLOT] = 0;
            t[D_VER] = 0;
            t[D_AT] = 0;
            t[D_STAT] = 0;
            t[D_INODE] = 0;
            t[D_HELD] = 0;
        }
    }

    private void idle(byte[] s, Search.Sink out) {
        for (int i = 0; i < writers; i++) {
            int w = WRITERS + i * W_SIZE;
            if (s[w + REC_LIVE] == 1 && s[w + REC_GONE] == 1) {
                byte[] t = s.clone();
                t[w + REC_LIVE] = 0;
                out.next("daemon: frees the record of a dead owner", t);
            }
        }
        if (s[D_TURNS] > 0) {
            byte[] t = s.clone();
            t[D_TURNS]--;
            t[STARTED]++;
            t[D_T0] = s[CLOCK];
            to(t, DRAIN);
            out.next("daemon: a turn begins, drain_started = " + t[STARTED], t);
        }
        if (c.forget() && s[FORGOTTEN] == 0 && s[COMPLETE] == 1) {
            byte[] t = s.clone();
            t[FORGOTTEN] = 1;
            t[COMPLETE] = 0;
            t[PARENT_SEQ]++;
            to(t, FORGET_ENTRY);
            out.next("daemon: a watch is lost, COMPLETE cleared", t);
        }
    }

    private void drain(byte[] s, Search.Sink out) {
        byte[] t = s.clone();
        if (s[D_PC] == DRAIN) {
            if (pending(s)) {
                out.next("daemon: " + next(t), t);
            } else {
                to(t, DRAINED);
                out.next("daemon: sees the queue empty", t);
            }
            return;
        }
        t[DONE] = s[STARTED];
        t[LEASE] = (byte) ((c.wrong() == Wrong.LEASE_FROM_AFTER_DRAIN ? s[CLOCK] : s[D_T0]) + c.lease());
        t[D_T0] = 0;
        to(t, CHOOSE);
        out.next("daemon: drain_done = " + t[DONE], t);
    }

    private static boolean pending(byte[] s) {
        return s[QUEUE] != 0 || s[JOURNAL] != 0;
    }

    /** Reads one event and applies it; where a successor may go on, two steps: all are read, each is applied. */
    private String next(byte[] t) {
        if (!c.kept()) {
            return apply(t, QUEUE);
        }
        if (t[JOURNAL] != 0) {
            return apply(t, JOURNAL);
        }
        t[JOURNAL] = t[QUEUE];
        t[QUEUE] = 0;
        return "reads the queue";
    }

    private String apply(byte[] t, int from) {
        if ((t[from] & EVENT_DIRECTORY_MOVED) != 0) {
            t[from] &= (byte) ~EVENT_DIRECTORY_MOVED;
            t[VER]++;
            t[STATE + 1] = UNVERIFIED;
            t[COMPLETE] = 0;
            t[PARENT_SEQ]++;
            t[RESCAN] = 1;
            return "a directory was moved: bumps G, its subtree is unverified";
        }
        int p = (t[from] & 1) != 0 ? 0 : 1;
        t[from] &= (byte) ~(1 << p);
        t[STATE + p] = UNVERIFIED;
        return "an event: path " + p + " is unverified";
    }

    private void choose(byte[] s, Search.Sink out) {
        for (int slot = 0; slot < 3; slot++) {
            if (s[VER + slot] != s[PUB + slot]) {
                byte[] t = s.clone();
                t[D_SLOT] = (byte) slot;
                t[D_PC] = (byte) order[0];
                out.next("daemon: turns to slot " + slot, t);
            }
        }
        for (int p = 0; p < 2; p++) {
            if (s[STATE + p] == UNVERIFIED && s[VER + p + 1] == s[PUB + p + 1]) {
                byte[] t = s.clone();
                t[D_SLOT] = (byte) (p + 1);
                t[D_VER] = s[VER + p + 1];
                t[D_PC] = VERIFY_SCAN;
                out.next("daemon: turns to the unverified path " + p, t);
            }
        }
        if (s[RESCAN] == 1) {
            byte[] t = s.clone();
            t[RESCAN] = 0;
            t[D_PC] = LIST;
            out.next("daemon: will list the directory again", t);
        }
        byte[] t = s.clone();
        to(t, IDLE);
        out.next("daemon: ends its turn", t);
    }

    private void follow(byte[] t, int pc) {
        for (int i = 0; i < order.length; i++) {
            if (order[i] == pc) {
                to(t, i + 1 < order.length ? order[i + 1] : CHOOSE);
                return;
            }
        }
    }

    private void clean(byte[] s, Search.Sink out) {
        byte[] t = s.clone();
        int slot = s[D_SLOT];
        String what;
        switch (s[D_PC]) {
            case CLEAN_VER -> {
                t[D_VER] = s[VER + slot];
                follow(t, CLEAN_VER);
                what = "v = " + s[VER + slot];
            }
            case CLEAN_SCAN -> {
                if (forbids(t, s[D_AT], slot)) {
                    to(t, CHOOSE);
                    what = "a live record forbids it";
                    t[D_PC] = IDLE;
                } else {
                    what = "scans record " + s[D_AT];
                    scanned(t, CLEAN_SCAN);
                }
            }
            case CLEAN_INODES -> {
                held(t, s[D_AT]);
                what = "takes the inode of record " + s[D_AT];
                scanned(t, CLEAN_INODES);
            }
            case CLEAN_DRAIN -> {
                if (pending(s)) {
                    what = next(t);
                } else {
                    follow(t, CLEAN_DRAIN);
                    what = "sees the queue empty";
                }
            }
            case CLEAN_STAT -> {
                if (slot > 0) {
                    stat(t, slot - 1);
                }
                follow(t, CLEAN_STAT);
                what = "stats the entries";
            }
            case CLEAN_WRITE -> {
                if (slot > 0 && s[STATE + slot - 1] != NONE) {
                    write(t, slot - 1);
                }
                follow(t, CLEAN_WRITE);
                what = "writes the entries";
            }
            default -> {
                t[PUB + slot] = s[D_VER];
                follow(t, CLEAN_PUBLISH);
                what = "publishes " + s[D_VER];
            }
        }
        out.next(out.labels() ? "daemon, slot " + slot + ": " + what : null, t);
    }

    /** Whether record i forbids that the slot is published. */
    private boolean forbids(byte[] t, int i, int slot) {
        int w = WRITERS + i * W_SIZE;
        if (i >= writers || t[w + REC_LIVE] == 0) {
            return false;
        }
        if (t[w + REC_KIND] == HELD) {
            if (c.wrong() == Wrong.ONE_PASS_OVER_RECORDS) {
                held(t, i);
            }
            return false;
        }
        return (t[w + REC_SLOTS] & (1 << slot | 1)) != 0; // 0 is everything
    }

    /** Remembers the inode of a file held open. */
    private void held(byte[] t, int i) {
        int w = WRITERS + i * W_SIZE;
        if (i < writers && t[w + REC_LIVE] == 1 && t[w + REC_KIND] == HELD && t[w + REC_INODE] > 0 && c.wrong() != Wrong.HELD_NOT_LOOKED_AT) {
            t[D_HELD] |= (byte) (1 << t[w + REC_INODE]);
        }
    }

    private void scanned(byte[] t, int pc) {
        if (t[D_AT] + 1 < writers) {
            t[D_AT]++;
            return;
        }
        t[D_AT] = 0;
        if (pc == VERIFY_SCAN) {
            t[D_PC] = VERIFY_STAT;
        } else {
            follow(t, pc);
        }
    }

    private static void stat(byte[] t, int p) {
        t[D_STAT] = t[PV + p];
        t[D_INODE] = t[INO + p];
    }

    private static void write(byte[] t, int p) {
        t[STORED + p] = t[D_STAT];
        t[STATE + p] = (byte) ((t[D_HELD] & 1 << t[D_INODE]) == 0 ? CLEAN : UNVERIFIED);
    }

    /** An UNVERIFIED entry of a clean slot: v = ver = pub, scan, stat, write. */
    private void verify(byte[] s, Search.Sink out) {
        byte[] t = s.clone();
        int p = s[D_SLOT] - 1;
        switch (s[D_PC]) {
            case VERIFY_SCAN -> {
                held(t, s[D_AT]);
                scanned(t, VERIFY_SCAN);
                out.next("daemon: verifies path " + p + ", scans record " + s[D_AT], t);
            }
            case VERIFY_STAT -> {
                stat(t, p);
                t[D_PC] = VERIFY_WRITE;
                out.next("daemon: stats path " + p + " at v" + s[PV + p], t);
            }
            default -> {
                write(t, p);
                to(t, t[STATE + p] == CLEAN ? CHOOSE : IDLE);
                out.next("daemon: writes path " + p + " at v" + s[D_STAT], t);
            }
        }
    }

    /** A listing: children inserted UNVERIFIED, then the queue drained, then COMPLETE. */
    private void list(byte[] s, Search.Sink out) {
        byte[] t = s.clone();
        switch (s[D_PC]) {
            case LIST -> {
                if (s[INO + 1] != 0 && s[STATE + 1] == NONE) {
                    t[STATE + 1] = UNVERIFIED;
                }
                t[D_PC] = (byte) (s[WATCHING] == 1 ? LIST_DRAIN : ADOPT_WATCH);
                out.next("daemon: lists the directory", t);
            }
            case LIST_DRAIN -> {
                if (pending(s)) {
                    out.next("daemon: " + next(t), t);
                } else {
                    t[D_PC] = LIST_DONE;
                    out.next("daemon: sees the queue empty", t);
                }
            }
            default -> {
                if (s[RESCAN] == 0) {
                    t[COMPLETE] = 1;
                    t[PARENT_SEQ]++;
                }
                to(t, IDLE);
                out.next("daemon: COMPLETE", t);
            }
        }
    }

    private void adopt(byte[] s, Search.Sink out) {
        byte[] t = s.clone();
        switch (s[D_PC]) {
            case DEAD -> {
                if (c.wrong() != Wrong.ADOPTED_COMPLETE) {
                    t[COMPLETE] = 0;
                    t[PARENT_SEQ]++;
                }
                t[D_PC] = ADOPT_ENTRIES;
                out.next("successor: COMPLETE cleared", t);
            }
            case ADOPT_ENTRIES -> {
                for (int p = 0; p < 2; p++) {
                    if (c.wrong() != Wrong.ADOPTED_CLEAN && s[STATE + p] != NONE) {
                        t[STATE + p] = UNVERIFIED;
                    }
                }
                t[D_PC] = (byte) (c.wrong() == Wrong.LIST_BEFORE_WATCH ? LIST : ADOPT_WATCH);
                out.next("successor: every entry unverified", t);
            }
            case ADOPT_WATCH -> {
                t[WATCHING] = 1;
                if (c.wrong() == Wrong.LIST_BEFORE_WATCH) {
                    t[D_PC] = LIST_DRAIN;
                } else {
                    t[RESCAN] = 1; // in one of its turns, when it serves again
                    to(t, IDLE);
                }
                out.next("successor: watches", t);
            }
            default -> {
                t[STATE + 1] = NONE;
                t[RESCAN] = 1;
                to(t, IDLE);
                out.next("daemon: drops the child's entry", t);
            }
        }
    }
}
