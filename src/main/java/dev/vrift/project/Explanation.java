package dev.vrift.project;

import dev.vrift.layout.VDirLayout;
import dev.vrift.vdir.Engine;
import dev.vrift.wire.Json;
import java.util.ArrayList;
import java.util.List;

/** Says what memory has of one path, and why it does or does not answer for it. */
final class Explanation {
  private Explanation() {}

  static String of(ApplyLoop loop, byte[] relative) {
    long[] w = new long[14];
    int r = (int) (Integer) loop.ask(engine -> Engine.explain(engine, relative, w));
    Json out = new Json().object().field("schema_version", ProjectHandler.SCHEMA_VERSION);
    out.key("path").bytes(relative);
    if (r < 0) {
      return out.field("answered", false).key("reasons").array().value("the path is longer than a path can be").end().end().toString();
    }
    List<String> reasons = reasons(loop, w);
    out.field("known", w[0] == 1).field("answered", reasons.isEmpty());
    out.key("entry");
    if (w[0] == 1) {
      out.object().field("state", state((int) w[1])).field("ino", w[5]).field("size", w[6]);
      out.field("mode", Long.toOctalString(w[7])).field("nlink", w[12]).field("mtime", w[8]).field("mtime_ns", w[9]).end();
    } else {
      out.value((String) null);
    }
    out.field("slot", w[2]).field("slot_clean", w[3] != 0).field("project_clean", w[4] != 0);
    out.field("records", w[10]).field("project_records", w[11]).field("staged", w[13] != 0);
    out.key("reasons").array();
    for (String reason : reasons) {
      out.value(reason);
    }
    return out.end().end().toString();
  }

  private static String state(int bits) {
    StringBuilder s = new StringBuilder();
    append(s, bits, VDirLayout.ENTRY_CLEAN, "clean");
    append(s, bits, VDirLayout.ENTRY_GONE, "gone");
    append(s, bits, VDirLayout.ENTRY_ISDIR, "directory");
    append(s, bits, VDirLayout.ENTRY_COMPLETE, "complete");
    append(s, bits, VDirLayout.ENTRY_SEARCHABLE, "searchable");
    append(s, bits, VDirLayout.ENTRY_ACL, "acl");
    append(s, bits, VDirLayout.ENTRY_TARGET, "target");
    return s.isEmpty() ? "unverified" : s.toString();
  }

  private static void append(StringBuilder s, int bits, int bit, String word) {
    if ((bits & bit) != 0) {
      s.append(s.isEmpty() ? "" : " ").append(word);
    }
  }

  private static List<String> reasons(ApplyLoop loop, long[] w) {
    List<String> out = new ArrayList<>();
    String why = loop.report().why();
    if (!why.isEmpty()) {
      out.add(why);
    }
    int state = (int) w[1];
    boolean gone = w[0] == 0 || (state & VDirLayout.ENTRY_GONE) != 0;
    if (w[0] < 0) {
      out.add("the entry fails its checksum");
    } else if (!gone && (state & VDirLayout.ENTRY_CLEAN) == 0) {
      out.add(w[10] > 0 ? "a program has it open for writing" : unclean(w));
    }
    if (w[3] == 0) {
      out.add("a change of this path, or of one in the same slot, is under way");
    }
    if (w[4] == 0) {
      out.add(w[11] > 0 ? "a change of the whole project, or a program that cannot be seen, is under way" : "a change of the whole project was not yet applied");
    }
    if (w[13] != 0) {
      out.add("a new version of it is staged");
    }
    return out;
  }

  private static String unclean(long[] w) {
    if (w[12] > 1 && (w[7] & 0170000) == 0100000) {
      return "it has " + w[12] + " hard links: changes through the other names cannot be seen";
    }
    return "it is not verified: just changed, never read since it was written, on another mount, excluded, or below a directory that cannot be searched";
  }
}
