package dev.vrift.model;

import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vrift.model.Scenario.Look;
import dev.vrift.model.Scenario.Op;
import dev.vrift.model.Scenario.Wrong;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

/**
 * docs/PROTOCOL.md, searched whole over small worlds: no answer from memory is one that was true at no moment of its call, none is
 * stale across an edge, whoever is killed wherever. And each broken rule gives a wrong answer somewhere, or the search proves nothing.
 */
class ProtocolModelTest {
    private static final List<Look> FILE = List.of(Look.FILE), CHILD = List.of(Look.CHILD), FOLLOW = List.of(Look.FOLLOW);

    private static List<List<Op>> ops(Op... each) {
        List<List<Op>> writers = new ArrayList<>();
        for (Op op : each) {
            writers.add(List.of(op));
        }
        return writers;
    }

    private static final Map<String, Scenario> RIGHT = new TreeMap<>(Map.ofEntries(
        Map.entry("two quiet writers of one file", Scenario.of(FILE, ops(Op.TOUCH_QUIET, Op.TOUCH_QUIET)).kills(1, 0)),
        Map.entry("three writers of one file", Scenario.of(FILE, ops(Op.TOUCH_QUIET, Op.TOUCH, Op.TOUCH_QUIET)).turns(2)),
        Map.entry("writer, daemon killed anywhere", Scenario.of(FILE, ops(Op.TOUCH_QUIET)).kills(1, 1).unseen(1, 0).turns(2)),
        Map.entry("held file and a quiet change", Scenario.of(FILE, ops(Op.HELD, Op.TOUCH_QUIET)).kills(1, 0).turns(2)),
        Map.entry("held file renamed while it is opened", Scenario.of(CHILD, ops(Op.HELD, Op.RENAME)).turns(1)),
        Map.entry("held file, daemon killed", Scenario.of(FILE, ops(Op.HELD)).kills(1, 1).turns(3)),
        Map.entry("create and unlink of the child", Scenario.of(CHILD, ops(Op.CREATE_CHILD, Op.UNLINK_CHILD)).childAbsent().kills(1, 0).turns(2)),
        Map.entry("create of the child, daemon killed and adopted", Scenario.of(CHILD, ops(Op.CREATE_CHILD)).childAbsent().kills(1, 1)),
        Map.entry("rename over the child and unlink", Scenario.of(List.of(Look.CHILD, Look.FILE), ops(Op.RENAME, Op.UNLINK_CHILD)).turns(2)),
        Map.entry("directory moved", Scenario.of(CHILD, ops(Op.MOVE_DIRECTORY)).kills(1, 1)),
        Map.entry("directory moved over an absent child while it is created", Scenario.of(CHILD, ops(Op.MOVE_DIRECTORY, Op.CREATE_CHILD)).childAbsent().turns(2)),
        Map.entry("create and unlink in a crowded slot", Scenario.of(CHILD, ops(Op.CREATE_CHILD, Op.UNLINK_CHILD)).childAbsent().crowding().turns(2)),
        Map.entry("below a child whose watch is lost", Scenario.of(List.of(Look.BELOW), ops(Op.TOUCH_CHILD)).forgetting()),
        Map.entry("below a child that comes and goes", Scenario.of(List.of(Look.BELOW), ops(Op.UNLINK_CHILD, Op.CREATE_CHILD)).turns(2)),
        Map.entry("watch lost", Scenario.of(CHILD, ops(Op.TOUCH_CHILD)).forgetting()),
        Map.entry("blind child", Scenario.of(FILE, ops(Op.BLIND)).kills(0, 1)),
        Map.entry("blind child and a writer", Scenario.of(FILE, ops(Op.BLIND, Op.TOUCH_QUIET)).kills(1, 0)),
        Map.entry("no record free", Scenario.of(FILE, ops(Op.NO_RECORD, Op.TOUCH_QUIET))),
        Map.entry("link and target change one after the other", Scenario.of(FOLLOW, List.of(List.of(Op.TOUCH_QUIET, Op.TOUCH_CHILD)))),
        Map.entry("unseen change, then the reader reads a pipe", Scenario.of(List.of(Look.RECEIVE, Look.FILE), List.of()).unseen(2, 0).kills(0, 1)),
        Map.entry("unseen create, then the reader reads a pipe", Scenario.of(List.of(Look.RECEIVE, Look.CHILD), List.of()).unseen(2, 1).childAbsent().kills(0, 1)),
        Map.entry("unseen change, a writer reads a pipe, writes, is read",
            Scenario.of(List.of(Look.CHILD, Look.FILE), List.of(List.of(Op.RECEIVE, Op.TOUCH_CHILD))).unseen(1, 0).turns(2).kills(1, 0)),
        Map.entry("unseen change, a writer reads a pipe, writes, is read, daemon killed",
            Scenario.of(List.of(Look.CHILD, Look.FILE), List.of(List.of(Op.RECEIVE, Op.TOUCH_CHILD))).unseen(1, 0).turns(2).kills(0, 1)),
        Map.entry("writer, daemon killed, queue kept", Scenario.of(FILE, ops(Op.TOUCH_QUIET)).kills(1, 1).unseen(1, 0).turns(2).queueKept()),
        Map.entry("held file, daemon killed, queue kept", Scenario.of(FILE, ops(Op.HELD)).kills(1, 1).turns(3).queueKept()),
        Map.entry("create of the child, daemon killed, queue kept", Scenario.of(CHILD, ops(Op.CREATE_CHILD)).childAbsent().kills(1, 2).queueKept()),
        Map.entry("directory moved, daemon killed, queue kept", Scenario.of(CHILD, ops(Op.MOVE_DIRECTORY)).kills(1, 1).queueKept()),
        Map.entry("the child is looked up while the index is made anew", Scenario.of(CHILD, ops(Op.TOUCH)).kills(0, 2).turns(2).queueKept()),
        Map.entry("unseen change, then the reader reads a pipe, queue kept", Scenario.of(List.of(Look.RECEIVE, Look.FILE), List.of()).unseen(2, 0).kills(0, 2).queueKept()),
        Map.entry("unseen create, then the reader reads a pipe, queue kept",
            Scenario.of(List.of(Look.RECEIVE, Look.CHILD), List.of()).unseen(2, 1).childAbsent().kills(0, 2).queueKept()),
        Map.entry("unseen change and a lease, queue kept", Scenario.of(FILE, List.of()).unseen(1, 0).lease(2).turns(2).kills(0, 1).queueKept()),
        Map.entry("unseen change and a lease", Scenario.of(FILE, List.of()).unseen(1, 0).lease(2).turns(2))));

    /** In which world each broken rule must show. */
    private static final Map<Wrong, String> CAUGHT = Map.ofEntries(
        Map.entry(Wrong.BUMP_BEFORE_RECORD, "two quiet writers of one file"),
        Map.entry(Wrong.SCAN_BEFORE_VER, "two quiet writers of one file"),
        Map.entry(Wrong.STAT_BEFORE_SCAN, "two quiet writers of one file"),
        Map.entry(Wrong.PUBLISH_BEFORE_STAT, "two quiet writers of one file"),
        Map.entry(Wrong.NO_RECORDS, "two quiet writers of one file"),
        Map.entry(Wrong.FREE_BEFORE_CALL, "two quiet writers of one file"),
        Map.entry(Wrong.DRAIN_BEFORE_SCAN, "create and unlink in a crowded slot"),
        Map.entry(Wrong.NEED_IGNORED, "unseen change, then the reader reads a pipe"),
        Map.entry(Wrong.NEED_FROM_DONE, "unseen change, then the reader reads a pipe"),
        Map.entry(Wrong.NEED_NOT_NAMING_G, "unseen change, a writer reads a pipe, writes, is read"),
        Map.entry(Wrong.NO_SECOND_CHECK, "link and target change one after the other"),
        Map.entry(Wrong.ONE_PASS_OVER_RECORDS, "held file renamed while it is opened"),
        Map.entry(Wrong.OVERFLOW_NOT_COUNTED, "no record free"),
        Map.entry(Wrong.HELD_BEFORE_INODE, "held file and a quiet change"),
        Map.entry(Wrong.HELD_NOT_LOOKED_AT, "held file and a quiet change"),
        Map.entry(Wrong.NO_PATH_CHECK_AFTER_OPEN, "held file renamed while it is opened"),
        Map.entry(Wrong.PATH_CHECK_BEFORE_INODE, "held file renamed while it is opened"),
        Map.entry(Wrong.DIRECTORY_MOVE_NOT_G, "directory moved"),
        Map.entry(Wrong.BLIND_FREED_EARLY, "blind child"),
        Map.entry(Wrong.ADOPTED_CLEAN, "unseen change, then the reader reads a pipe"),
        Map.entry(Wrong.ADOPTED_COMPLETE, "unseen create, then the reader reads a pipe"),
        Map.entry(Wrong.LIST_BEFORE_WATCH, "unseen create, then the reader reads a pipe"),
        Map.entry(Wrong.NO_SECOND_LOOK_AT_PARENT, "below a child whose watch is lost"),
        Map.entry(Wrong.ADOPTED_WITHOUT_G, "the child is looked up while the index is made anew"),
        Map.entry(Wrong.ADOPTED_WITHOUT_JOURNAL, "unseen change, then the reader reads a pipe, queue kept"),
        Map.entry(Wrong.ADOPTED_LEASE_FIRST, "unseen change and a lease, queue kept"),
        Map.entry(Wrong.ADOPTED_DRAIN_DONE, "unseen change, then the reader reads a pipe, queue kept"),
        Map.entry(Wrong.ADOPTED_G_PUBLISHED, "directory moved, daemon killed, queue kept"),
        Map.entry(Wrong.ADOPTED_HALF_WRITTEN, "unseen change, then the reader reads a pipe, queue kept"),
        Map.entry(Wrong.LEASE_FROM_AFTER_DRAIN, "unseen change and a lease"));

    @TestFactory
    List<DynamicTest> theProtocolIsSound() {
        return RIGHT.entrySet().stream().map(e -> DynamicTest.dynamicTest(e.getKey(), () -> {
            Search.Result r = Search.run(e.getValue());
            assertNull(r.violation(), () -> "after " + r.states() + " states: " + r.violation());
            System.out.println("model: " + e.getKey() + ": " + r.states() + " states");
            assertTrue(r.states() > 100, "the world is too small to say anything: " + r.states());
        })).toList();
    }

    @TestFactory
    List<DynamicTest> eachBrokenRuleIsCaught() {
        return CAUGHT.entrySet().stream().map(e -> DynamicTest.dynamicTest(e.getKey() + " in: " + e.getValue(), () -> {
            Search.Result r = Search.run(RIGHT.get(e.getValue()).broken(e.getKey()));
            assertNotNull(r.violation(), () -> e.getKey() + " was not caught in " + r.states() + " states");
            System.out.println("model: " + e.getKey() + ": caught after " + r.states() + " states: " + r.violation().lines().findFirst().orElse(""));
        })).toList();
    }

    @Test
    void everyBrokenRuleHasItsWorld() {
        assertTrue(Set.copyOf(CAUGHT.keySet()).equals(EnumSet.allOf(Wrong.class)));
    }
}
