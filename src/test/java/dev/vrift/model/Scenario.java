package dev.vrift.model;

import java.util.List;

/**
 * A small world to be searched whole: who does what, who may be killed, which rule is broken on purpose.
 *
 * @param wrong the broken rule, or null for the protocol as it is written
 * @param writers what each recorded process does, in order
 * @param unseen how often the unseen process changes its path, or 0
 * @param unseenPath the path that it changes
 * @param reader what the reading process does, in order
 * @param turns how many turns of the apply thread are explored
 * @param writerKills how many writers may be killed, at any step
 * @param daemonKills how often the daemon may be killed and adopted, at any step
 * @param forget whether the daemon may lose a watch: COMPLETE is cleared, then the child's entry is dropped
 * @param lease whether time passes: 0 no, else the lease in ticks
 * @param crowded whether the child's directory shares the child's slot instead of the file's
 * @param kept whether the watch queue outlives a killed daemon, so that its successor goes on with the same entries (docs/ADOPTION.md)
 * @param childKnown whether path 1 exists, and is known, at the beginning
 */
record Scenario(Wrong wrong, List<List<Op>> writers, int unseen, int unseenPath, List<Look> reader, int turns, int writerKills,
                int daemonKills, boolean forget, int lease, boolean childKnown, boolean crowded, boolean kept) {

    static Scenario of(List<Look> reader, List<List<Op>> writers) {
        return new Scenario(null, writers, 0, 0, reader, 3, 0, 0, false, 0, true, false, false);
    }

    Scenario broken(Wrong rule) {
        return new Scenario(rule, writers, unseen, unseenPath, reader, turns, writerKills, daemonKills, forget, lease, childKnown, crowded, kept);
    }

    Scenario unseen(int changes, int path) {
        return new Scenario(wrong, writers, changes, path, reader, turns, writerKills, daemonKills, forget, lease, childKnown, crowded, kept);
    }

    Scenario turns(int n) {
        return new Scenario(wrong, writers, unseen, unseenPath, reader, n, writerKills, daemonKills, forget, lease, childKnown, crowded, kept);
    }

    Scenario kills(int ofWriters, int ofDaemon) {
        return new Scenario(wrong, writers, unseen, unseenPath, reader, turns, ofWriters, ofDaemon, forget, lease, childKnown, crowded, kept);
    }

    Scenario forgetting() {
        return new Scenario(wrong, writers, unseen, unseenPath, reader, turns, writerKills, daemonKills, true, lease, childKnown, crowded, kept);
    }

    Scenario lease(int ticks) {
        return new Scenario(wrong, writers, unseen, unseenPath, reader, turns, writerKills, daemonKills, forget, ticks, childKnown, crowded, kept);
    }

    Scenario childAbsent() {
        return new Scenario(wrong, writers, unseen, unseenPath, reader, turns, writerKills, daemonKills, forget, lease, false, crowded, kept);
    }

    Scenario crowding() {
        return new Scenario(wrong, writers, unseen, unseenPath, reader, turns, writerKills, daemonKills, forget, lease, childKnown, true, kept);
    }

    Scenario queueKept() {
        return new Scenario(wrong, writers, unseen, unseenPath, reader, turns, writerKills, daemonKills, forget, lease, childKnown, crowded, true);
    }

    /** What a recorded process does. Path 0 is a file, path 1 the only child of a directory. */
    enum Op {
        /** Changes path 0 without any watch event (utimes of atime only, chattr, a link outside). */
        TOUCH_QUIET(0), TOUCH(0), TOUCH_CHILD(1), CREATE_CHILD(1), UNLINK_CHILD(1),
        /** rename(path 0, path 1). */
        RENAME(0),
        /** Another directory is moved onto the child's directory: the child appears or disappears, and only G is named. */
        MOVE_DIRECTORY(1),
        /** Open for writing with O_TRUNC, one write, close. */
        HELD(0),
        /** A child process that we cannot see changes path 0 and exits. */
        BLIND(0),
        /** A change for which no record was free. */
        NO_RECORD(0),
        /** Reads from the unseen process's pipe. */
        RECEIVE(-1);

        final int path;

        Op(int path) {
            this.path = path;
        }
    }

    /** What the reading process does. BELOW: looks at a name below the child, which is a file: ENOTDIR while the child is there, else ENOENT. */
    enum Look { FILE, CHILD, BELOW, FOLLOW, RECEIVE }

    /** One rule broken. Each must lead to a wrong answer, else the model could not tell right from wrong. */
    enum Wrong {
        BUMP_BEFORE_RECORD, SCAN_BEFORE_VER, STAT_BEFORE_SCAN, PUBLISH_BEFORE_STAT, NO_RECORDS, DRAIN_BEFORE_SCAN, NEED_IGNORED,
        NO_SECOND_CHECK, NEED_FROM_DONE, NEED_NOT_NAMING_G, ONE_PASS_OVER_RECORDS, OVERFLOW_NOT_COUNTED, HELD_BEFORE_INODE, HELD_NOT_LOOKED_AT, NO_PATH_CHECK_AFTER_OPEN, PATH_CHECK_BEFORE_INODE,
        FREE_BEFORE_CALL, DIRECTORY_MOVE_NOT_G, BLIND_FREED_EARLY, ADOPTED_CLEAN, ADOPTED_COMPLETE, LIST_BEFORE_WATCH, NO_SECOND_LOOK_AT_PARENT,
        LEASE_FROM_AFTER_DRAIN,
        /* A successor that goes on: the index is made anew with G clean; what was read and not applied is forgotten; with G clean, the lease before the first
           drain, or the drain that the dead one began counted as done (with G dirty both are harmless: nothing is answered before the first turn); G is published
           without a turn; a half-written entry is taken for whole. */
        ADOPTED_WITHOUT_G, ADOPTED_WITHOUT_JOURNAL, ADOPTED_LEASE_FIRST, ADOPTED_DRAIN_DONE, ADOPTED_G_PUBLISHED, ADOPTED_HALF_WRITTEN
    }
}
