/* bin/vrift. `run`, `version` and the first help page are C; everything else is dev.vrift.cli. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "launcher.h"
#include "vr_fault.h"

#define EXIT_FAILED 1
#define EXIT_USAGE 2
#define EXIT_OURS 125

void say(const char *format, ...) {
  char line[3 * TEXT_MAX];
  va_list ap;
  va_start(ap, format);
  vsnprintf(line, sizeof line, format, ap);
  va_end(ap);
  fprintf(stderr, "vrift: %s\n", line);
}

static const char help[] =
    "vrift runs unmodified commands and answers their questions about files from memory.\n"
    "\n"
    "  vrift run [--] COMMAND…    run a command in this project, for example: vrift run -- make -j8\n"
    "\n"
    "  vrift status               what is running for which project\n"
    "  vrift stats                how many questions were answered from memory, and why others were not\n"
    "  vrift explain PATH         what is known about a path, and why\n"
    "  vrift verify               compare what is in memory with the files\n"
    "  vrift doctor [--fix]       find what keeps vrift from working well\n"
    "\n"
    "  vrift init [--undo]        set a project up before its first run; take everything back\n"
    "  vrift stop [--all]         stop this project's daemon; stop everything\n"
    "  vrift restart [PROJECT]    start this project's daemon again\n"
    "  vrift logs [-f]            the daemons' logs\n"
    "  vrift config show          every setting, its value and where it comes from\n"
    "  vrift cas ingest|stat|verify      the store of contents\n"
    "  vrift gc [--run]                  remove contents that no project needs\n"
    "  vrift salvage list|restore|drop   what was rolled back\n"
    "  vrift version\n"
    "\n"
    "Help for a command: vrift COMMAND --help. Reports take --json.\n"
    "A project is the nearest directory upwards with a .vrift in it, else the git repository, else the current directory.\n"
    "Whatever goes wrong with vrift, the command runs on natively. VRIFT=0 switches vrift off.\n";

static const char run_help[] =
    "vrift run [--] COMMAND [ARGUMENT…]\n"
    "\n"
    "Runs the command with the library preloaded. Its exit code and signals are passed on. If no daemon is there yet, one is\n"
    "started in the background and the command runs natively until it serves.\n"
    "\n"
    "Exit codes besides the command's: 124 VRIFT_VERIFY found a difference, 125 vrift itself failed, 126 the command cannot be\n"
    "executed, 127 it was not found.\n"
    "Environment: VRIFT=0 runs the command without vrift. VRIFT_VERIFY=1 compares every answer with the kernel's\n"
    "(VRIFT_VERIFY_LOG=FILE names the log). VRIFT_TRACE=FILE writes every answer down. VRIFT_RUNTIME_DIR moves sockets.\n"
    "\n"
    "Examples: vrift run -- make -j8      vrift run cargo build      VRIFT_VERIFY=1 vrift run -- npm ci\n";

/* Whoever reads our standard output must learn that not all of it came. A reader who has gone wants no more. */
static int written(void) {
  if (fflush(stdout) == 0 && !ferror(stdout)) return 0;
  if (errno != EPIPE) say("cannot write standard output: %s", strerror(errno));
  return EXIT_FAILED;
}

static int show(const char *text) {
  fputs(text, stdout);
  return written();
}

/* A closed standard stream stays closed for the command, but no file of ours becomes it meanwhile: reading and writing fail as before. */
static void keep_standard_streams(void) {
  for (int fd = 0; fd < 3; fd++)
    if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", (fd == 0 ? O_WRONLY : O_RDONLY) | O_CLOEXEC) < 0) return;
}

static int print_version(int json) {
  if (json) {
    printf("{\"schema_version\":1,\"version\":\"%s\",\"protocol\":%u,\"vdir_layout\":%u,\"board_layout\":%u}\n", VRIFT_VERSION,
           VR_WIRE_PROTOCOL, VR_VERSION, VR_BOARD_VERSION);
  } else {
    printf("vrift %s (protocol %u, VDir layout %u, board layout %u)\n", VRIFT_VERSION, VR_WIRE_PROTOCOL, VR_VERSION, VR_BOARD_VERSION);
  }
  return written();
}

static int is_help(const char *word) { return !strcmp(word, "--help") || !strcmp(word, "-h"); }

static int version(int argc, char **argv) {
  int json = argc > 0 && !strcmp(argv[0], "--json");
  if (argc > 0 && is_help(argv[0])) return show("vrift version [--json]\n\nPrints the version, and those of the protocol and the layouts.\n");
  if (argc > json) {
    say("version has no option %s. Type: vrift version --help", argv[json]);
    return EXIT_USAGE;
  }
  return print_version(json);
}

int main(int argc, char **argv) {
  static struct places p;
  keep_standard_streams();
  set_own_attributes();
  if (argc < 2) {
    fputs(help, stderr);
    return EXIT_USAGE;
  }
  if (is_help(argv[1]) || (!strcmp(argv[1], "help") && argc == 2)) return show(help);
  if (!strcmp(argv[1], "version") || !strcmp(argv[1], "--version")) return version(argc - 2, argv + 2);
  vr_fault_arm(getenv("VRIFT_FAULT"), getenv("VRIFT_FAULT_LOG"));
  int dist = find_dist(&p);
  if (!strcmp(argv[1], "run")) {
    int at = 2;
    if (at < argc && is_help(argv[at])) return show(run_help);
    if (at < argc && !strcmp(argv[at], "--")) {
      at++;
    } else if (at < argc && argv[at][0] == '-') {
      say("run has no option %s. A command whose name starts with - goes behind --. Type: vrift run --help", argv[at]);
      return EXIT_OURS;
    }
    if (at >= argc) {
      say("run what? For example: vrift run -- make. Type: vrift run --help");
      return EXIT_OURS;
    }
    return run_command(&p, argv + at);
  }
  if (dist) {
    say("cannot find out where vrift is installed: /proc is not there");
    return EXIT_OURS;
  }
  if (!strcmp(argv[1], "--ensure-coordinator")) return ensure_for_daemon(&p); /* what a project's daemon calls; not for people */
  if (!strcmp(argv[1], "help")) { /* help COMMAND is COMMAND --help */
    char *swapped[] = {argv[2], "--help", NULL};
    if (argc > 3) {
      say("help explains one command, '%s' is one word too many. Type: vrift --help", argv[3]);
      return EXIT_USAGE;
    }
    if (!strcmp(argv[2], "run")) return show(run_help);
    if (!strcmp(argv[2], "help")) return show(help);
    if (!strcmp(argv[2], "version")) return version(1, swapped + 1);
    return run_java(&p, 2, swapped);
  }
  return run_java(&p, argc - 1, argv + 1);
}
