/* A daemon's engine is killed at random instants and at every named fault point of the engine, while the tree changes; the tree also changes
 * while nobody lives; a successor in a new process goes on with VDir, state and watch queue. Every answer that memory gives, before, during and
 * after, is compared with the real call. SEED=n, ROUNDS=n (docs/ADOPTION.md, section 7). Nothing outside a temporary directory is touched. */
#include "adopt_bed.h"

/* ---- random kills */

/* What was done through a link that was gone before the daemon looked is the sweep's (docs/LIMITS.md): by then it has seen all that there is.
 * It looks at 1,600 a second, and renamed directories let the tree grow to some thousands. */
static unsigned swept_ms(void) { return 500 + (unsigned)(known + native); }

static void random_rounds(int rounds) {
  int adopted = 0, tried = 0, last_linked = 0;
  unsigned rest = 0; /* ms */
  int64_t begun = now_ms();
  plant(300);
  begin_daemon("", 0);
  settle();
  for (int i = 0; i < rounds && !failed; i++) {
    char arm[80] = "";
    int points = engine_points();
    if (dice(3)) snprintf(arm, sizeof arm, "%s:kill:%u", engine_point((int)dice((unsigned)points)), 1 + dice(dice(2) ? 3 : 40));
    if (linked) last_linked = i, rest = swept_ms(), settle(), pause_ms(rest);
    arm_daemon(arm);
    int64_t until = now_ms() + dice(60);
    linked = dice(12) == 0 ? 1 : 0;
    while (now_ms() < until && daemon_lives()) {
      for (unsigned k = 1 + dice(6); k--;) random_change();
      edge();
      for (int k = 0; k < 40; k++) ask_random();
    }
    kill_daemon();
    int late = (int)dice(25); /* while nobody lives */
    while (late--) random_change();
    edge();
    if (dice(40) == 0) flood();
    for (int k = 0; k < 60; k++) ask_random();
    for (unsigned again = dice(4) ? 0 : 3; again--;) { /* a successor is killed while it takes over */
      static const char *const early[] = {"adopt_bumped", "adopt_checked", "index_emptied", "adopt_repaired", "journal_replayed", "adopt_done", "event_applied", "entry_open"};
      snprintf(arm, sizeof arm, "%s:kill:%u", early[dice(8)], 1 + dice(2));
      begin_daemon(arm, 1);
      for (int k = 0; k < 60; k++) ask_random();
      kill_daemon();
      for (unsigned k = dice(6); k--;) random_change();
      edge();
    }
    begin_daemon("", 1);
    tried++;
    adopted += told.adopted != 0;
    for (int k = 0; k < 200; k++) ask_random(), dice(8) ? 0 : pause_ms(1);
    if (i % 4 == 3) settle();
    ask_all();
    if (wrong) CHECK(0, "round %d of seed %u: %d wrong answers, %d known, %d native; links until round %d, then %u ms for the sweep", i, seed_given, wrong, known, native, last_linked - 1, rest);
    if (i % 500 == 499) { /* a long storm that is stopped has its count */
      printf("seed %u: %d rounds, gone on with after %d, %lld s\n", seed_given, i + 1, adopted, (long long)(now_ms() - begun) / 1000);
      fflush(stdout);
    }
  }
  settle();
  ask_all();
  CHECK(wrong == 0 && known > 300, "at the end %d wrong, %d known, %d native", wrong, known, native);
  CHECK(adopted * 10 >= tried * 9, "only %d of %d were gone on with: %s", adopted, tried, told.reason);
  printf("random: %d rounds in %lld ms, %d of %d gone on with, %ld questions, %ld answered from memory\n", rounds, (long long)(now_ms() - begun), adopted, tried, total_asked, total_known);
  end_project();
}

/* ---- every point, once */

static void provoke(void) {
  static int k;
  char a[64], b[64];
  k++;
  for (int i = 0; i < 12; i++) {
    snprintf(a, sizeof a, "d%d/new-%d-%d", i % 6, k, i), put(a, "new");
    snprintf(a, sizeof a, "d%d/f%d", i % 6, i), put(a, "changed");
  }
  snprintf(a, sizeof a, "made-%d", k), mkdir(at(a), 0755);
  snprintf(b, sizeof b, "made-%d/below", k), mkdir(at(b), 0755);
  snprintf(b, sizeof b, "made-%d/below/f", k), put(b, "x");
  edge();
  pause_ms(80);
  snprintf(b, sizeof b, "moved-%d", k), rename(at(a), at(b));
  edge();
  pause_ms(40);
  snprintf(a, sizeof a, "moved-%d/below/f", k), unlink(at(a));
  snprintf(a, sizeof a, "moved-%d/below", k), rmdir(at(a));
  edge();
}

static int killed_at(const char *point) {
  char arm[80];
  int growth = !strncmp(point, "state_", 6) ? strcmp(point, "state_open") : !strncmp(point, "vdir_grow", 9) || !strcmp(point, "tables_emptied");
  int index = !strcmp(point, "index_emptied") || !strcmp(point, "index_refilling");
  int adoption = !strncmp(point, "adopt_", 6) || !strcmp(point, "journal_replayed") || index;
  snprintf(arm, sizeof arm, "%s:kill", point);
  if (growth || !strcmp(point, "map_named")) { /* a tree that is too large for the first files */
    plant(9000);
    if (!strcmp(point, "map_named")) snprintf(arm, sizeof arm, "%s:kill:2", point); /* the first is the first */
    begin_daemon(arm, 0);
    for (int64_t until = now_ms() + 20000; daemon_lives() && now_ms() < until;) pause_ms(2);
  } else if (adoption) {
    plant(60);
    begin_daemon(index ? "bucket_open:kill:40" : "", 0);
    if (!index) settle();
    for (int64_t until = now_ms() + 5000; index && daemon_lives() && now_ms() < until;) pause_ms(2);
    kill_daemon();
    provoke();
    begin_daemon(arm, 1);
    for (int64_t until = now_ms() + 5000; daemon_lives() && now_ms() < until;) pause_ms(2);
  } else {
    plant(60);
    begin_daemon("", 0);
    settle();
    arm_daemon(arm);
    if (!strcmp(point, "distrusted")) kill(daemon_pid, SIGUSR1);
    if (!strcmp(point, "vdir_rebuilt")) damage_entry();
    for (int64_t until = now_ms() + 5000; daemon_lives() && now_ms() < until;) provoke();
  }
  int reached = !daemon_lives();
  kill_daemon();
  return reached;
}

static void every_point(void) {
  int all = 0;
  int64_t begun = now_ms();
  for (int p = 0; p < engine_points(); p++) {
    const char *name = engine_point(p);
    CHECK(killed_at(name), "%s was not reached", name);
    provoke();
    ask_some();
    begin_daemon("", 1);
    ask_some();
    if (!told.adopted) fprintf(stderr, "at %s not gone on with: %s\n", name, told.reason);
    settle();
    ask_all();
    CHECK(wrong == 0 && known > 60, "killed at %s: %d wrong, %d known, %d native", name, wrong, known, native);
    all += told.adopted != 0;
    end_project();
  }
  /* Not: before the first VDir has a state (state_creating, state_linking), and where damage is known. */
  CHECK(all >= engine_points() - 4, "only %d of %d were gone on with", all, engine_points());
  printf("points: %d, gone on with after %d, %lld ms\n", engine_points(), all, (long long)(now_ms() - begun));
}

/* While the index is made anew names are missing in it, and the dead one's lease still runs: nobody may take them for absent. */
static void asked_while_the_index_is_made(void) {
  char p[64];
  plant(60);
  begin_daemon("", 0);
  settle();
  arm_daemon("bucket_open:kill");
  put("d0/one-more", "x"); /* no edge: nobody was told */
  for (int64_t until = now_ms() + 5000; daemon_lives() && now_ms() < until;) pause_ms(1);
  CHECK(!daemon_lives(), "it lives");
  fflush(NULL);
  pid_t asker = fork();
  if (asker == 0) {
    for (int64_t until = now_ms() + 130; now_ms() < until && !wrong;)
      for (int i = 0; i < 60; i++) snprintf(p, sizeof p, "plain%d/n%d", i % 4, i), ask(p);
    _exit(wrong != 0);
  }
  begin_daemon("index_refilling:delay=90:20", 1);
  int status = 0;
  waitpid(asker, &status, 0);
  CHECK(told.adopted && WIFEXITED(status) && WEXITSTATUS(status) == 0, "a name was taken for absent (%d)", status);
  edge();
  settle();
  ask_all();
  CHECK(wrong == 0 && known > 60, "%d wrong, %d known", wrong, known);
  end_project();
}

/* ---- what is not its own or damaged */

static void refused(const char *what, void (*spoil)(void)) {
  plant(60);
  begin_daemon("", 0);
  settle();
  kill_daemon();
  spoil();
  provoke();
  begin_daemon("", 1);
  CHECK(!told.adopted, "gone on with though %s", what);
  settle();
  ask_all();
  CHECK(wrong == 0 && known > 60, "%s: %d wrong, %d known", what, wrong, known);
  end_project();
}
static void another_watch(void) { kept_id++; }
static void no_inotify(void) { close(kept), kept = open("/dev/null", O_RDONLY); }
static void spoilt_state(void) { change_state(offsetof(struct vr_state, spoilt), 1); }
static void header_bit(void) { change_state(offsetof(struct vr_state, vdir_id), 0x40); }
static void node_parent(void) { change_state(VR_STATE_HEAD + VR_JOURNAL + VR_SLOTS * 4 + 40 * 7 + offsetof(struct vr_node, parent), 0xffff); }
static void node_off(void) { change_state(VR_STATE_HEAD + VR_JOURNAL + VR_SLOTS * 4 + 40 * 9 + offsetof(struct vr_node, off), 0x10000000); }
static void node_room(void) { change_state(VR_STATE_HEAD + VR_JOURNAL + VR_SLOTS * 4 + 40 * 9 + offsetof(struct vr_node, target_cap), 0x4000); }
static void marked_beyond(void) { change_state(offsetof(struct vr_state, writing), 0x7fffff); }
static void drain_word(void) { change_vdir(VR_DYN_OFFSET + offsetof(struct vr_dyn, drain_done), 4); }
static void vdir_header(void) { change_vdir(offsetof(struct vr_header, caps), 1); }
static void living_writer(void) { name_writer(getpid()); }

/* A bit that flipped while nobody lived: no reader believes it, and the look at everything in the first seconds finds it. */
static void audited(void) {
  plant(60);
  begin_daemon("", 0);
  settle();
  kill_daemon();
  flip_entry();
  begin_daemon("", 1);
  CHECK(told.adopted, "%s", told.reason);
  uint64_t before = vdir_id();
  for (int64_t until = now_ms() + 10000; vdir_id() == before && now_ms() < until;) ask_some(), pause_ms(5);
  CHECK(vdir_id() != before, "the flipped bit was not found");
  settle();
  ask_all();
  CHECK(wrong == 0 && known > 60, "%d wrong, %d known", wrong, known);
  end_project();
}

static void overflowed(void) {
  plant(60);
  begin_daemon("", 0);
  settle();
  kill_daemon();
  flood();
  put("d1/f1", "after the flood");
  rename(at("d2"), at("d2-gone"));
  edge();
  ask_some();
  begin_daemon("", 1);
  CHECK(told.adopted, "%s", told.reason);
  ask_some();
  settle();
  ask_all();
  CHECK(wrong == 0 && known > 60, "%d wrong, %d known", wrong, known);
  end_project();
}

/* Killed in read(), with an event off the queue that never came into the journal: the mark that events may be lost is all that tells. */
static void lost_in_read(void) {
  plant(60);
  begin_daemon("", 0);
  settle();
  arm_daemon("events_taken:kill");
  chmod(at("d1/f1"), 0604); /* one event */
  for (int64_t until = now_ms() + 5000; daemon_lives() && now_ms() < until;) pause_ms(1);
  CHECK(!daemon_lives(), "it lives");
  change_state(VR_STATE_HEAD, 0x400000); /* the event's watch: now it is nobody's */
  edge();
  begin_daemon("", 1);
  CHECK(told.adopted, "%s", told.reason);
  ask_some();
  ask_all();
  CHECK(wrong == 0, "%d wrong", wrong);
  settle();
  ask_all();
  CHECK(wrong == 0 && known > 60, "%d wrong, %d known", wrong, known);
  end_project();
}

int main(void) {
  int rounds = getenv("ROUNDS") ? atoi(getenv("ROUNDS")) : 60;
  begin_bed();
  overflowed();
  lost_in_read();
  audited();
  refused("the watch queue has another number", another_watch);
  refused("the descriptor is no watch queue", no_inotify);
  refused("the state is spoilt", spoilt_state);
  refused("its header is damaged", header_bit);
  refused("a node's parent is younger", node_parent);
  refused("a node's entry lies outside", node_off);
  refused("a node says that it has room where another's entry is", node_room);
  refused("a mark names no node", marked_beyond);
  refused("the drain numbers contradict each other", drain_word);
  refused("the VDir's header is another", vdir_header);
  refused("its writer lives", living_writer);
  asked_while_the_index_is_made();
  every_point();
  random_rounds(rounds);
  end_bed();
  printf("adopt: %d passed, %d failed\n", passed, failed);
  return failed != 0;
}
