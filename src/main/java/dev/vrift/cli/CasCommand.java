package dev.vrift.cli;

import dev.vrift.cas.CasException;
import dev.vrift.cas.CasStat;
import dev.vrift.cas.CollectionPolicy;
import dev.vrift.cas.CollectionReport;
import dev.vrift.cas.Digest;
import dev.vrift.cas.Verifier;
import dev.vrift.cas.VerifyReport;
import dev.vrift.cas.VerifyingReader;
import dev.vrift.health.DaemonProbe;
import dev.vrift.layout.Opcode;
import dev.vrift.platform.FileCalls;
import dev.vrift.platform.Processes;
import dev.vrift.wire.Fields;
import dev.vrift.wire.WireException;
import java.nio.file.Files;
import java.util.List;
import java.util.Map;

/** {@code vrift cas}: a project's daemon ingests; the store itself is looked at and looked after here, where other projects' files may be read. */
final class CasCommand {
  private static final int WORK_MS = 3_600_000;
  private static final int PING_MS = 1_000;
  private static final int START_MS = 3_000;
  private static final int LOOK_MS = 50;
  /** The keeper reads at most this much a second; a part of the blobs at a time, within these bounds. */
  private static final long KEEPER_BYTES_PER_SECOND = 32 << 20;
  private static final double KEEPER_PART = 0.05;
  private static final double KEEPER_LEAST = 200;
  private static final long KEEPER_MOST = 5_000;
  private static final int PERCENT = 100;
  /** The heap is small. */
  private static final int GET_MAX = 16 << 20;

  /** What vriftd types. */
  private static final List<String> KEEPER = List.of("keep");

  private CasCommand() {}

  static int run(Place place, List<String> words) throws Failure, InterruptedException {
    Arguments a = Arguments.parse("cas", words, 2, "--json", "--all", "--sample=");
    String what = a.rest().equals(KEEPER) ? "keep" : a.choice("cas", List.of("ingest", "stat", "verify", "get"));
    if (a.rest().size() != (what.equals("get") ? 2 : 1)) {
      throw Failure.usage(what.equals("get") ? "cas get needs a digest" : "cas " + what + " takes no other word", "cas");
    }
    if (a.has("--all") && !what.equals("ingest")) {
      throw Failure.usage("--all belongs to ingest", "cas");
    }
    if (a.value("--sample=") != null && !what.equals("verify")) {
      throw Failure.usage("--sample belongs to verify", "cas");
    }
    String json;
    try {
      json =
          switch (what) {
            case "ingest" -> ingest(place, a.has("--all"));
            case "stat" -> stat(place);
            case "verify" -> ContentReports.json(verify(Store.open(place), a.value("--sample=")));
            case "get" -> get(Store.open(place), a.rest().get(1));
            case "keep" -> keep(Store.open(place));
            default -> throw Failure.usage("cas cannot '" + what + "'", "cas");
          };
    } catch (CasException e) {
      throw new Failure(Failure.NEGATIVE, "cas: " + e.getMessage());
    }
    if (json == null) {
      return 0;
    }
    Map<String, Object> report = ReportCommands.parse(json);
    if (a.has("--json")) {
      System.out.println(json.strip());
    } else {
      ReportCommands.tree("", report);
    }
    return Human.number(report.get("damaged")) > 0 ? Failure.NEGATIVE : 0;
  }

  private static String ingest(Place place, boolean all) throws Failure, InterruptedException {
    awaken(place);
    return place.report(Opcode.CAS, new Fields().put("command", "ingest").put("all", all ? 1 : 0), WORK_MS);
  }

  private static String stat(Place place) throws Failure, CasException {
    Store s = Store.open(place);
    return ContentReports.json(CasStat.of(s.store()), s.limit(), s.hot());
  }

  private static VerifyReport verify(Store s, String sample) throws Failure, CasException {
    double part = 1;
    long most = Long.MAX_VALUE;
    try {
      if (sample != null && sample.endsWith("%")) {
        part = Double.parseDouble(sample.substring(0, sample.length() - 1)) / PERCENT;
      } else if (sample != null) {
        most = Long.parseLong(sample);
      }
    } catch (NumberFormatException e) {
      part = -1;
    }
    if (!(part > 0 && part <= 1) || most < 1) {
      throw Failure.usage("--sample takes a number of contents or a percentage, as 100 or 5%, not '" + sample + "'", "cas");
    }
    return new Verifier(s.store(), Long.MAX_VALUE).verify(part, most, sample == null);
  }

  /** Writes one content to standard output; a damaged or missing one is first stored again from whoever has it. */
  private static String get(Store s, String name) throws Failure, CasException {
    Digest d = Digest.parse(name.startsWith("sha256:") ? name.substring(name.indexOf(':') + 1) : name);
    if (d == null) {
      throw Failure.usage("'" + name + "' is not a digest (64 hexadecimal digits)", "cas");
    }
    byte[] content = new VerifyingReader(s.store(), s.hot()).readOrHeal(d, GET_MAX);
    if (content == null) {
      throw new Failure(Failure.NEGATIVE, "no content " + d + " of at most " + GET_MAX + " bytes is kept, and no project has it");
    }
    System.out.write(content, 0, content.length);
    System.out.flush();
    return null;
  }

  /**
   * What vriftd starts in idle time: holds the limit, reads a part of the store, heals. Prints a line only if there was something to say. Not for
   * people, who have gc and verify.
   */
  private static String keep(Store s) throws CasException {
    FileCalls.idlePriority();
    long limit = s.limit();
    CollectionReport looked = s.collector().collect(new CollectionPolicy(limit, 0, true));
    if (looked.bytes() > limit) {
      CollectionReport r = s.collector().collect(new CollectionPolicy(limit / 10 * 9, 0, false));
      System.err.println("contents: over the limit of " + limit + " bytes, removed " + r.takenBlobs() + " (" + r.takenBytes() + " bytes) " + r.refused());
    }
    double part = Math.max(KEEPER_PART, KEEPER_LEAST / Math.max(1, looked.blobs()));
    VerifyReport v = new Verifier(s.store(), KEEPER_BYTES_PER_SECOND).verify(part, KEEPER_MOST, true);
    if (!v.bad().isEmpty() || !v.missing().isEmpty() || !v.strays().isEmpty()) {
      System.err.println(
          "contents: " + v.bad().size() + " damaged, " + v.missing().size() + " missing, " + v.strays().size() + " strays; healed " + v.healed().size());
    }
    return null;
  }

  /**
   * A project whose daemon is not up gets one. vriftd may itself be starting (a `vrift run` that just ended asked for it); it is waited for,
   * unless people stopped it. If there is none in the end, the request itself says so.
   */
  private static void awaken(Place place) throws Failure, InterruptedException {
    long end = Processes.monotonicMs() + START_MS;
    try {
      DaemonProbe.ping(place.project().socket(), PING_MS);
      return;
    } catch (WireException absent) {
      // below
    }
    while (!Files.exists(place.run().stopped()) && Processes.monotonicMs() < end) {
      try {
        DaemonProbe.ask(place.run().socket(), Opcode.OPEN, new Fields().put("root", place.root()), RestartCommand.OPEN_MS);
        return;
      } catch (WireException e) {
        if (e.kind() != WireException.Kind.ABSENT) {
          return;
        }
        Thread.sleep(LOOK_MS);
      }
    }
  }
}
