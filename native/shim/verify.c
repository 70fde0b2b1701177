/* VRIFT_VERIFY=1: every answer from memory is compared with the real call made right after it. The program gets the real answer. A
 * difference may be a change that falls between the two, or one by an unseen process within its lease; so both are asked again until they
 * agree, and only what stays different while the entry and its slot do not change is reported. */
#include "internal.h"
#include "raw.h"

#define VERIFY_TRIES 8
#define VERIFY_PAUSE_NS 25000000 /* eight of these are two leases */

struct stand {
  uint32_t seq;
  uint64_t ver0, ver;
};
static struct stand stand_of(const struct shim_question *q) {
  struct stand s = {0, 0, 0};
  if (!q->v || !q->rel) return s;
  uint32_t slot = vr_slot(vr_hash64(q->rel, (size_t)q->rel_len, q->v->seed));
  s.seq = q->entry.seq;
  s.ver0 = __atomic_load_n(&shim.board.ver[0], __ATOMIC_ACQUIRE);
  s.ver = __atomic_load_n(&shim.board.ver[slot], __ATOMIC_ACQUIRE);
  return s;
}

void shim_verify(struct shim_check *c) {
  char memory[64], kernel[64];
  const char *field = NULL;
  struct stand first = {0, 0, 0}, last = {0, 0, 0};
  shim_count(VR_STAT_VERIFIED);
  for (int i = 0; i < VERIFY_TRIES; i++) {
    last = stand_of(c->q);
    if (!i) first = last;
    c->real(c);
    if (!(field = c->differ(c, memory, kernel))) return;
    struct timespec pause = {0, VERIFY_PAUSE_NS};
    int saved = errno;
    raw2(SYS_nanosleep, (long)&pause, 0);
    errno = saved;
    if (c->memory(c)) {
      c->real(c);
      return;
    }
  }
  if (first.seq == last.seq && first.ver == last.ver && first.ver0 == last.ver0)
    shim_report_diff(c->function, c->path, field, memory, kernel);
}
