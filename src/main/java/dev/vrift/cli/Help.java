package dev.vrift.cli;

import java.util.Map;

/** What {@code vrift COMMAND --help} teaches. */
final class Help {
  private Help() {}

  private static final String EXITS = "\nExit code: 0 all is well, 1 not, 2 the command line was wrong, 125 vrift itself failed.\n";

  private static final Map<String, String> TEXTS =
      Map.ofEntries(
          Map.entry(
              "init",
              """
              vrift init [--json]       makes .vrift in the project and starts its daemon; waits until it serves
              vrift init --undo         stops this project's daemon and removes everything vrift keeps for it:
                                        .vrift (with the salvage area), database, shared memory, logs, sockets

              Not needed before `vrift run`, which does the same in the background. The project is the nearest directory upwards
              with a .vrift in it, else the git repository, else the current directory. Your files are not touched by either.
              """),
          Map.entry(
              "status",
              """
              vrift status [--json]

              Lists the projects that have a daemon or had one: state, number of files known, memory, staging. States:
                serving      questions are answered from memory
                scanning     the files are being looked at; commands run natively meanwhile
                native       commands run natively; the reason is given
                fencing      a daemon that does not die keeps its successor out
                quarantined  the daemon died too often; `vrift restart` tries again
                stopped      no daemon; the next `vrift run` starts it
              Never starts anything.
              """),
          Map.entry(
              "stats",
              """
              vrift stats [--zero] [--json]

              How many questions of programs were answered from memory and why the others were not, since the counters were last
              zeroed. The lines add up to the total. --zero sets them to zero after printing.
              """),
          Map.entry(
              "explain",
              """
              vrift explain PATH [--json]

              What is known about a path: whether it would be answered from memory now, and if not, why.
              Example: vrift explain src/main.c
              """),
          Map.entry(
              "verify",
              """
              vrift verify [--json]

              Compares everything in memory with the files, field by field. Exit code 1 if anything differs. Files that change
              meanwhile are looked at again. For a check of every single answer during a build: VRIFT_VERIFY=1 vrift run -- make
              """),
          Map.entry(
              "stop",
              """
              vrift stop [--json]       stops this project's daemon
              vrift stop --all          stops every daemon of yours, and the coordinator

              Running commands go on natively. Nothing starts a daemon again until the next `vrift run`, `init` or `restart`.
              With nothing running it does nothing and succeeds.
              """),
          Map.entry(
              "restart",
              """
              vrift restart [PROJECT] [--json]

              Stops this project's daemon, or that of the directory PROJECT, if it runs, starts it, and waits until it answers. Ends a
              quarantine.
              """),
          Map.entry(
              "logs",
              """
              vrift logs [-f] [--all]   the log of this project's daemon; --all: the coordinator's too; -f: goes on until ^C
              """),
          Map.entry(
              "doctor",
              """
              vrift doctor [--json]     looks for what keeps vrift from working, or from working well
              vrift doctor --fix        and repairs what can be repaired without asking; what it would do is printed without --fix

              Exit code 1 if there is an error that was not repaired; warnings alone are 0.
              """),
          Map.entry(
              "config",
              """
              vrift config show [--json]

              Every setting with its value and where that comes from. Later ones win:
                the default, /etc/vrift/config.toml, $XDG_CONFIG_HOME/vrift/config.toml, .vrift.toml in the project,
                the environment (VRIFT_QUOTA_MAX_FILES for quota.max_files), --set quota.max_files=1000 (tried out in this report only)
              A daemon reads them when it starts: vrift restart. It has the environment of the command that started vriftd: for a variable
              type vrift stop --all first.
              """),
          Map.entry(
              "cas",
              """
              vrift cas ingest [--all] [--json]   keeps the contents of this project's files; --all: large ones too
              vrift cas stat [--json]             how much is kept, its limit, and what sharing saves within and across projects
              vrift cas verify [--sample N|P%] [--json]
                                                  reads every blob (or N, or P percent of them) and compares it with its name; what is
                                                  damaged or missing is stored again from any project that has it
              vrift cas get DIGEST                writes one content (up to 16 MiB) to standard output

              The store is shared by all your projects; equal contents are kept once. Secrets (keys, .env) are never kept. verify exits
              with 1 if something could not be healed: nobody has that content any more. docs/CONTENTS.md says more.
              """),
          Map.entry(
              "gc",
              """
              vrift gc [--max-size SIZE] [--older-than AGE] [--json]            says what would go
              vrift gc --run [--max-size SIZE] [--older-than AGE] [--json]      and does it (--force is the same)

              Removes contents that no project references: all of them, or the least recently used until the store is not larger than
              SIZE (100M, 5G, bytes), or those not used for AGE (30m, 12h, 7d). What a project references, is storing now, or has stored
              since a command of it that still runs began, is never taken. Builds may go on meanwhile. Without you it happens in idle
              time when the store is larger than cas.max_bytes.
              """),
          Map.entry(
              "salvage",
              """
              vrift salvage list [--json]         what was taken back when a program died while writing, and replaced versions
              vrift salvage restore NAME [--to FILE] [--force]   puts one back; --force replaces a file that is there
              vrift salvage drop NAME | --all     removes it for good

              The area is bounded; the oldest go first. NAME is the first column of `list`.
              """));

  /** The page of a command, or null when there is no such command. */
  static String of(String command) {
    String text = TEXTS.get(command);
    return text == null ? null : text + EXITS;
  }

  static boolean knows(String command) {
    return TEXTS.containsKey(command);
  }

  /** Every command that has a page; {@code run} and {@code version} are the launcher's. */
  static java.util.Set<String> names() {
    java.util.Set<String> all = new java.util.TreeSet<>(TEXTS.keySet());
    all.addAll(java.util.List.of("run", "version", "help"));
    return all;
  }
}
