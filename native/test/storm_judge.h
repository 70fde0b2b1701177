/* Right after wait(): may the file look like this, given how far its writer was? And what has to be found in salvage later. */
#ifndef STORM_JUDGE_H
#define STORM_JUDGE_H
#include "storm.h"

enum verdict { FINE, TORN, LOST, NATIVE }; /* NATIVE: passed through, so it may be torn as natively */
#define SLOW_US 800000u /* open longer, the daemon may have shown the file */

struct judged {
  enum verdict verdict;
  enum sight sight;
  uint32_t version, bytes;
  int committed;         /* the new version is there, whole */
  int salvage;           /* `salvage_bytes` of the new version have to be in salvage, or still in staging */
  uint32_t salvage_bytes;
};

/* The version in the file after the round is version if sight is WHOLE, 0 if it is ABSENT; else the driver starts afresh. */
static struct judged judge(struct storm_round *r, uint64_t took_us) {
  struct judged j = {FINE, OTHER, 0, 0, 0, 0, 0};
  uint32_t stage = storm_get(r);
  j.sight = storm_look(r->path, r->file, r->version, &j.version, &j.bytes);
  int fresh = j.sight == WHOLE && j.version == r->version;
  int old = r->old ? j.sight == WHOLE && j.version == r->old : j.sight == ABSENT;
  int part = (j.sight == PART || j.sight == WHOLE) && j.version == r->version;
  j.committed = fresh;
  if (r->op == OP_UNLINKED_OPEN) {
    int gone = j.sight == ABSENT, moving = (stage & NAMING) && (gone || part);
    if (stage & NAMED) j.verdict = gone ? FINE : LOST;
    else if (!old && !fresh && !moving && !(took_us > SLOW_US && part)) j.verdict = TORN;
    return j;
  }
  if (r->op == OP_REPLACED) { /* who replaced it wins; what was written is in salvage */
    int theirs = j.sight == PART && j.bytes == 0;
    /* Where nothing was at open, who came first cannot be known: ours wins, theirs is kept as .old. */
    if (stage & NAMED) j.verdict = theirs || (!r->old && fresh && (stage & CLOSING)) ? FINE : LOST;
    else if (!old && !(theirs && (stage & NAMING)) && !(took_us > SLOW_US && part)) j.verdict = TORN;
    if ((stage & STAGED) && r->written >= STORM_HEAD && !fresh) j.salvage = 1, j.salvage_bytes = r->written;
    return j;
  }
  if (r->op == OP_RENAMED) {
    if (stage & NAMED) j.verdict = fresh ? FINE : j.sight == PART || j.sight == OTHER ? TORN : LOST;
    else if (!old && !(fresh && (stage & NAMING))) j.verdict = TORN;
    return j;
  }
  if (r->op == OP_MOVED_OPEN) {
    if (stage & CLOSED) j.verdict = fresh ? FINE : LOST;
    else if (stage & NAMED) j.verdict = part && j.bytes >= r->shown ? FINE : LOST;
    else if (!old && !((stage & NAMING) && part && j.bytes >= r->shown)) j.verdict = TORN;
    return j;
  }
  if (stage & CLOSED) {
    j.verdict = fresh ? FINE : LOST;
    return j;
  }
  if (stage & SHOWN) {
    j.verdict = part && j.bytes >= r->shown ? FINE : LOST;
    return j;
  }
  if ((stage & UNSEEN) && (stage & NAMED)) { /* the next open got the same number, so the library knows */
    j.verdict = fresh ? FINE : LOST;
    return j;
  }
  /* These two write into the real file, because its inode must stay: until they are through, the bytes are in staging too. */
  int in_place = r->op == OP_LOCKED || r->op == OP_LINKED;
  int showing = (stage & SHOWING) && part && (in_place || j.bytes >= r->written);
  int slow = took_us > SLOW_US && part;
  if (!old && !fresh && !showing && !slow) {
    j.verdict = TORN;
    return j;
  }
  if (!fresh && (stage & STAGED) && r->written >= STORM_HEAD && !(part && j.bytes >= r->written) && r->op != OP_STDIO) {
    j.salvage = 1;
    j.salvage_bytes = r->written;
  }
  return j;
}
#endif
