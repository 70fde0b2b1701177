package dev.vrift.cli;

import dev.vrift.cas.CasException;
import dev.vrift.cas.CollectionPolicy;
import dev.vrift.cas.CollectionReport;
import java.util.List;

/** {@code vrift gc}: collects contents that nobody references. Works with and without daemons. */
final class GcCommand {
  private GcCommand() {}

  static int run(Place place, List<String> words) throws Failure {
    Arguments a = Arguments.parse("gc", words, 0, "--json", "--run", "--force", "--max-size=", "--older-than=");
    String size = a.value("--max-size=");
    String age = a.value("--older-than=");
    boolean run = a.has("--run") || a.has("--force");
    CollectionPolicy policy = new CollectionPolicy(size == null ? -1 : Amount.bytes(size, "gc"), age == null ? 0 : Amount.age(age, "gc"), !run);
    CollectionReport r;
    try {
      r = Store.open(place).collector().collect(policy);
    } catch (CasException e) {
      throw new Failure(Failure.NEGATIVE, "gc: " + e.getMessage());
    }
    if (a.has("--json")) {
      System.out.println(ContentReports.json(r));
    } else {
      print(r, policy);
    }
    return r.refused().isEmpty() ? 0 : Failure.NEGATIVE;
  }

  private static void print(CollectionReport r, CollectionPolicy policy) {
    if (!r.refused().isEmpty()) {
      System.err.println("vrift: nothing was collected: " + r.refused());
      return;
    }
    System.out.println(r.blobs() + " contents, " + Human.bytes(r.bytes()) + "; " + r.unreferenced() + " that nobody needs, " + Human.bytes(r.unreferencedBytes()));
    String what = r.takenBlobs() + ", " + Human.bytes(r.takenBytes());
    System.out.println(r.dryRun() ? "would remove " + what + (r.takenBlobs() > 0 ? "; vrift gc --run does it" : "") : "removed " + what);
    for (String root : r.staleProjects()) {
      System.out.println((r.dryRun() ? "would forget " : "forgot ") + root + ", which has been gone for a month");
    }
    if (r.recovered() > 0) {
      System.out.println("put back " + r.recovered() + " that a collection which was interrupted had moved");
    }
    long left = r.dryRun() ? r.bytes() - r.takenBytes() : r.leftBytes();
    if (policy.maxBytes() >= 0 && left > policy.maxBytes()) {
      System.out.println("the rest, " + Human.bytes(left) + ", is needed by projects or was used just now, and stays");
    }
  }
}
