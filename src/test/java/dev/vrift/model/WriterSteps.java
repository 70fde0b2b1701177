package dev.vrift.model;

import static dev.vrift.model.World.*;

import dev.vrift.model.Scenario.Op;
import dev.vrift.model.Scenario.Wrong;

/** A recorded writer: docs/PROTOCOL.md section 4. */
final class WriterSteps {
    /** Steps of one operation. A bump is one step per slot. */
    private static final int PUBLISH = 0, BUMP = 1, CALL = 4, EVENT = 5, RETURN = 6, KEEP = 7, CHECK_PATH = 8, WRITE = 9, WRITE_EVENT = 10, CLOSE_BUMP = 11,
        FREE = 12, LATE_RECORD = 13, KEEP_LATE = 14;

    private final Scenario c;

    WriterSteps(Scenario scenario) {
        c = scenario;
    }

    void steps(byte[] s, int i, Search.Sink out) {
        int w = WRITERS + i * W_SIZE;
        if (s[w + W_DEAD] == 1 || s[w + W_AT] >= c.writers().get(i).size()) {
            return;
        }
        int pc = s[w + W_PC];
        if (s[W_KILLS] > 0 && pc != EVENT && pc != WRITE_EVENT) { // a call in the kernel is finished before its caller dies
            byte[] t = s.clone();
            t[W_KILLS]--;
            t[w + W_DEAD] = 1;
            t[w + REC_GONE] = 1;
            out.next("writer " + i + " is killed", t);
        }
        Op op = c.writers().get(i).get(s[w + W_AT]);
        if (op == Op.RECEIVE) {
            receive(s, w, i, out);
        } else if (op == Op.NO_RECORD) {
            withoutRecord(s, w, i, out);
        } else {
            operation(s, w, i, op, out);
        }
    }

    private void receive(byte[] s, int w, int i, Search.Sink out) {
        if (s[MESSAGE] == 0) {
            return;
        }
        byte[] t = s.clone();
        t[w + W_KNOWS] = s[MESSAGE];
        t[w + W_NEED] = s[STARTED];
        t[w + W_AT]++;
        out.next("writer " + i + ": reads from the pipe, need = " + s[STARTED], t);
    }

    /** No record is free: overflow is counted, from then on nobody answers from memory; G is bumped before the call and after it. */
    private void withoutRecord(byte[] s, int w, int i, Search.Sink out) {
        byte[] t = s.clone();
        t[w + W_PC]++;
        switch (s[w + W_PC]) {
            case 0 -> t[OVERFLOW] = (byte) (c.wrong() == Wrong.OVERFLOW_NOT_COUNTED ? 0 : 1);
            case 1 -> t[VER]++;
            case 2 -> Protocol.changed(t, 0, true);
            default -> {
                t[VER]++;
                done(t, w);
            }
        }
        out.next("writer " + i + ": without a record, step " + s[w + W_PC], t);
    }

    private int slots(byte[] s, int w, Op op) {
        int slots = switch (op) {
            case TOUCH_QUIET, TOUCH, HELD -> 0b010;
            case TOUCH_CHILD -> 0b100;
            case CREATE_CHILD, UNLINK_CHILD -> c.crowded() ? 0b100 : 0b110;
            case RENAME -> 0b110;
            case MOVE_DIRECTORY -> c.wrong() == Wrong.DIRECTORY_MOVE_NOT_G ? 0b010 : 0b001;
            default -> 0b001;
        };
        boolean unsatisfied = s[w + W_NEED] > 0 && s[DONE] <= s[w + W_NEED];
        return unsatisfied && c.wrong() != Wrong.NEED_NOT_NAMING_G ? slots | 1 : slots;
    }

    private void operation(byte[] s, int w, int i, Op op, Search.Sink out) {
        byte[] t = s.clone();
        int pc = s[w + W_PC];
        boolean early = c.wrong() == Wrong.BUMP_BEFORE_RECORD;
        String what;
        if (pc == PUBLISH) {
            t[w + REC_SLOTS] = (byte) slots(s, w, op);
            t[w + REC_KIND] = (byte) (op == Op.BLIND ? BLIND : OP);
            t[w + REC_INODE] = 0;
            t[w + REC_GONE] = 0;
            t[w + REC_LIVE] = (byte) (early || c.wrong() == Wrong.NO_RECORDS ? 0 : 1);
            t[w + W_PC] = BUMP;
            what = early ? "decides" : "publishes a record";
        } else if (pc < CALL) {
            what = bump(t, w, pc - BUMP, pc + 1);
            if (t[w + W_PC] == CALL && early) {
                t[w + W_PC] = LATE_RECORD;
            }
        } else if (pc == LATE_RECORD) {
            t[w + REC_LIVE] = 1;
            t[w + W_PC] = CALL;
            what = "publishes a record, too late";
        } else if (pc == CALL && t[w + REC_LIVE] == 1 && freedBefore(op)) {
            t[w + REC_LIVE] = 0;
            what = "frees its record before the call";
        } else if (pc == CALL) {
            what = call(t, w, op);
        } else if (pc == EVENT) {
            Protocol.event(t, eventOf(t, op));
            t[w + W_PC] = RETURN;
            what = "the event is queued";
        } else {
            what = after(t, w, op, pc);
        }
        out.next(out.labels() ? "writer " + i + " " + op + ": " + what : null, t);
    }

    private boolean freedBefore(Op op) {
        return c.wrong() == Wrong.FREE_BEFORE_CALL || c.wrong() == Wrong.BLIND_FREED_EARLY && op == Op.BLIND;
    }

    /** Bumps slot n if it is named, else goes on with the next that is. */
    private static String bump(byte[] t, int w, int n, int next) {
        int slot = n;
        while (slot < 3 && (t[w + REC_SLOTS] & 1 << slot) == 0) {
            slot++;
        }
        if (slot < 3) {
            t[VER + slot]++;
        }
        t[w + W_PC] = (byte) (next - n + Math.min(slot, 2));
        int later = t[w + REC_SLOTS] >> slot + 1;
        if (slot >= 2 || later == 0) {
            t[w + W_PC] = CALL;
        }
        return "bumps slot " + slot;
    }

    private static int eventOf(byte[] t, Op op) {
        return switch (op) {
            case TOUCH_QUIET -> 0;
            case TOUCH_CHILD, CREATE_CHILD, UNLINK_CHILD -> 2;
            case RENAME -> 3;
            case MOVE_DIRECTORY -> EVENT_DIRECTORY_MOVED;
            default -> 1;
        };
    }

    private static String call(byte[] t, int w, Op op) {
        t[w + W_PC] = EVENT;
        t[w + W_OPENED] = t[INO];
        switch (op) {
            case CREATE_CHILD -> {
                if (t[INO + 1] == 0) {
                    Protocol.place(t, 1, 3, true);
                }
            }
            case UNLINK_CHILD -> {
                if (t[INO + 1] != 0) {
                    Protocol.place(t, 1, 0, true);
                }
            }
            case MOVE_DIRECTORY -> Protocol.place(t, 1, t[INO + 1] == 0 ? 4 : 0, true);
            case RENAME -> {
                if (t[INO] != 0) {
                    int inode = t[INO];
                    t[INO] = 0;
                    t[INO + 1] = (byte) inode;
                    Protocol.changed(t, 0, true);
                    Protocol.changed(t, 1, true);
                }
            }
            default -> {
                if (t[INO + op.path] != 0) {
                    Protocol.changed(t, op.path, true);
                } else if (op == Op.HELD) {
                    Protocol.place(t, 0, 6, true); // O_CREAT
                    t[w + W_OPENED] = 6;
                }
            }
        }
        if (op.path == 1 && t[w + W_KNOWS] > 0) {
            t[CHILD_KNOWS_FROM] = t[PV + 1];
            t[CHILD_KNOWS] = t[w + W_KNOWS];
        }
        return "makes the call, its effect is visible";
    }

    private String after(byte[] t, int w, Op op, int pc) {
        boolean kindFirst = c.wrong() == Wrong.HELD_BEFORE_INODE;
        switch (pc) {
            case RETURN -> {
                if (op == Op.HELD && c.wrong() == Wrong.PATH_CHECK_BEFORE_INODE) {
                    checkPath(t, w);
                    t[w + W_PC] = KEEP_LATE;
                    return "looks too early whether the path still names what it opened";
                }
                if (op == Op.HELD) {
                    keep(t, w, kindFirst);
                    t[w + W_PC] = KEEP;
                    return "the open returns";
                }
                if (op == Op.BLIND) {
                    t[w + REC_GONE] = 1;
                    done(t, w);
                    return "the blind child exits";
                }
                t[w + REC_LIVE] = 0;
                done(t, w);
                return "frees its record";
            }
            case KEEP -> {
                keep(t, w, !kindFirst);
                t[w + W_PC] = CHECK_PATH;
                return "the record is HELD and has its inode";
            }
            case KEEP_LATE -> {
                keep(t, w, false);
                keep(t, w, true);
                t[w + W_PC] = WRITE;
                return "the record is HELD and has its inode";
            }
            case CHECK_PATH -> {
                t[w + W_PC] = WRITE;
                checkPath(t, w);
                return "looks whether the path still names what it opened";
            }
            case WRITE -> {
                for (int p = 0; p < 2; p++) {
                    if (t[INO + p] == t[w + W_OPENED]) {
                        Protocol.changed(t, p, true);
                    }
                }
                t[w + W_PC] = WRITE_EVENT;
                return "writes";
            }
            case WRITE_EVENT -> {
                Protocol.event(t, (t[INO] == t[w + W_OPENED] ? 1 : 0) | (t[INO + 1] == t[w + W_OPENED] ? 2 : 0));
                t[w + W_PC] = CLOSE_BUMP;
                return "the write's event is queued";
            }
            case CLOSE_BUMP -> {
                for (int slot = 0; slot < 3; slot++) {
                    t[VER + slot] += (byte) (t[w + REC_SLOTS] >> slot & 1);
                }
                t[w + W_PC] = FREE;
                return "has closed, bumps";
            }
            default -> {
                t[w + REC_LIVE] = 0;
                done(t, w);
                return "frees its record";
            }
        }
    }

    private void checkPath(byte[] t, int w) {
        if (c.wrong() != Wrong.NO_PATH_CHECK_AFTER_OPEN && t[INO] != t[w + W_OPENED] && t[INO + 1] == t[w + W_OPENED]) {
            t[w + REC_SLOTS] |= 0b100;
            t[VER + 2]++;
        }
    }

    private static void keep(byte[] t, int w, boolean kind) {
        if (kind) {
            t[w + REC_KIND] = HELD;
        } else {
            t[w + REC_INODE] = t[w + W_OPENED];
        }
    }

    private static void done(byte[] t, int w) {
        t[w + W_PC] = 0;
        t[w + W_AT]++;
    }
}
