/* dev.vrift.vdir.Engine: the engine's calls for Java. A handle is the engine's address; Java keeps it to the apply thread except where
 * Engine says otherwise. Arrays are checked against what is written into them. */
#include <errno.h>
#include <fcntl.h>
#include <jni.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "vr_engine.h"

#define NATIVE(type, name) JNIEXPORT type JNICALL Java_dev_vrift_vdir_Engine_##name
#define PATH_LIMIT 4096
#define REPORT_WORDS (sizeof(struct vr_report) / sizeof(uint64_t))

static struct vr_engine *engine(jlong h) { return (struct vr_engine *)(intptr_t)h; }

static int c_string(JNIEnv *env, jbyteArray a, char *out, size_t limit) {
  jsize n = (*env)->GetArrayLength(env, a);
  if ((size_t)n >= limit) return -ENAMETOOLONG;
  (*env)->GetByteArrayRegion(env, a, 0, n, (jbyte *)out);
  out[n] = 0;
  return memchr(out, 0, (size_t)n) ? -EINVAL : 0;
}

NATIVE(jint, reportWords)(JNIEnv *env, jclass c) { return (void)env, (void)c, (jint)REPORT_WORDS; }

NATIVE(jlong, open)(JNIEnv *env, jclass c, jbyteArray root, jbyteArray map, jlong max_files, jlong max_bytes, jint max_watches, jint hint,
                    jint watch, jlong watch_id, jbyteArray reason) {
  (void)c;
  char r[PATH_LIMIT], m[PATH_LIMIT], why[256] = "";
  int e = c_string(env, root, r, sizeof r);
  if (!e) e = c_string(env, map, m, sizeof m);
  if (e) {
    if (watch >= 0) close(watch);
    return e;
  }
  struct vr_limits limits = {(uint64_t)max_files, (uint64_t)max_bytes, (uint32_t)max_watches, (uint32_t)hint};
  struct vr_engine *out = NULL;
  e = vr_engine_open_kept(r, m, &limits, watch, (uint64_t)watch_id, &out, why, sizeof why);
  jsize room = (*env)->GetArrayLength(env, reason), n = (jsize)strnlen(why, sizeof why);
  (*env)->SetByteArrayRegion(env, reason, 0, n < room ? n : room, (const jbyte *)why);
  return e < 0 ? e : (jlong)(intptr_t)out;
}
NATIVE(jint, watch)(JNIEnv *env, jclass c, jlong h, jlongArray number) {
  (void)c;
  uint64_t n;
  int fd = vr_engine_watch(engine(h), &n);
  if ((*env)->GetArrayLength(env, number) < 1) return -EINVAL;
  (*env)->SetLongArrayRegion(env, number, 0, 1, (const jlong *)(const void *)&n);
  return fd;
}
NATIVE(jboolean, adopted)(JNIEnv *env, jclass c, jlong h) { return (void)env, (void)c, vr_engine_adopted(engine(h)) != 0; }
NATIVE(jint, publish)(JNIEnv *env, jclass c, jlong h) { return (void)env, (void)c, vr_engine_publish(engine(h)); }

NATIVE(jint, turn)(JNIEnv *env, jclass c, jlong h, jboolean serve, jint budget_us, jlongArray report) {
  (void)c;
  struct vr_report r;
  memset(&r, 0, sizeof r);
  int e = vr_engine_turn(engine(h), serve, (uint32_t)budget_us, &r);
  if ((*env)->GetArrayLength(env, report) != (jsize)REPORT_WORDS) return -EINVAL;
  (*env)->SetLongArrayRegion(env, report, 0, (jsize)REPORT_WORDS, (const jlong *)(const void *)&r);
  return e;
}
NATIVE(jint, await)(JNIEnv *env, jclass c, jlong h, jint wake, jboolean events, jint timeout_ms) {
  return (void)env, (void)c, vr_engine_wait(engine(h), wake, events, timeout_ms);
}
NATIVE(jint, hurry)(JNIEnv *env, jclass c, jlong h, jint wake, jint timeout_ms) {
  return (void)env, (void)c, vr_engine_hurry(engine(h), wake, timeout_ms);
}
NATIVE(void, ring)(JNIEnv *env, jclass c, jlong h) { (void)env, (void)c, vr_engine_ring(engine(h)); }
NATIVE(void, distrust)(JNIEnv *env, jclass c, jlong h) { (void)env, (void)c, vr_engine_distrust(engine(h)); }
NATIVE(jlong, scrub)(JNIEnv *env, jclass c, jlong h) { return (void)env, (void)c, (jlong)vr_engine_scrub(engine(h)); }
NATIVE(jint, rebuild)(JNIEnv *env, jclass c, jlong h) { return (void)env, (void)c, vr_engine_rebuild(engine(h)); }
NATIVE(void, retire)(JNIEnv *env, jclass c, jlong h, jboolean unlink_files) { (void)env, (void)c, vr_engine_retire(engine(h), unlink_files); }

/* Copied out first: entering names may take longer than an array should be pinned. */
NATIVE(jint, preload)(JNIEnv *env, jclass c, jlong h, jbyteArray names, jint length) {
  (void)c;
  if (length < 0 || length > (*env)->GetArrayLength(env, names)) return -EINVAL;
  uint8_t *copy = malloc((size_t)length + 1);
  if (!copy) return -ENOMEM;
  (*env)->GetByteArrayRegion(env, names, 0, length, (jbyte *)copy);
  int r = vr_engine_preload(engine(h), copy, (size_t)length);
  free(copy);
  return r;
}

NATIVE(jint, compare)(JNIEnv *env, jclass c, jlong h, jintArray cursor, jint max, jbyteArray out, jlongArray checked) {
  (void)c;
  jint at;
  jlong n;
  uint64_t count = 0;
  (*env)->GetIntArrayRegion(env, cursor, 0, 1, &at);
  jsize cap = (*env)->GetArrayLength(env, out);
  uint8_t *buffer = malloc((size_t)cap);
  if (!buffer) return -ENOMEM;
  uint32_t where = (uint32_t)at;
  int r = vr_engine_compare(engine(h), &where, (uint32_t)max, buffer, (size_t)cap, &count);
  if (r > 0) (*env)->SetByteArrayRegion(env, out, 0, r, (const jbyte *)buffer);
  free(buffer);
  at = (jint)where;
  (*env)->SetIntArrayRegion(env, cursor, 0, 1, &at);
  (*env)->GetLongArrayRegion(env, checked, 0, 1, &n);
  n += (jlong)count;
  (*env)->SetLongArrayRegion(env, checked, 0, 1, &n);
  return r;
}
NATIVE(jint, changes)(JNIEnv *env, jclass c, jlong h, jlong address, jint length) {
  (void)env, (void)c;
  return vr_engine_changes(engine(h), (uint8_t *)(intptr_t)address, (size_t)length);
}
NATIVE(jint, program)(JNIEnv *env, jclass c, jlong h, jlongArray key, jint verdict) {
  (void)c;
  jlong k[7];
  if ((*env)->GetArrayLength(env, key) != 7) return -EINVAL;
  (*env)->GetLongArrayRegion(env, key, 0, 7, k);
  struct vr_program p = {.dev = (uint64_t)k[0], .ino = (uint64_t)k[1], .size = (uint64_t)k[2], .mtime = (uint64_t)k[3], .ctime = (uint64_t)k[4],
                         .mtime_ns = (uint32_t)k[5], .ctime_ns = (uint32_t)k[6], .verdict = (uint32_t)verdict};
  vr_engine_program(engine(h), &p);
  return 0;
}

/* 0 dev, 1 ino, 2 size, 3 mtime, 4 ctime, 5 mtime_ns, 6 ctime_ns of a file, links followed. */
NATIVE(jint, identity)(JNIEnv *env, jclass c, jbyteArray path, jlongArray key) {
  (void)c;
  char name[PATH_LIMIT];
  struct stat s;
  int e = c_string(env, path, name, sizeof name);
  if (e) return e;
  if (stat(name, &s) < 0) return -errno;
  jlong k[7] = {(jlong)s.st_dev, (jlong)s.st_ino, s.st_size, s.st_mtim.tv_sec, s.st_ctim.tv_sec, s.st_mtim.tv_nsec, s.st_ctim.tv_nsec};
  if ((*env)->GetArrayLength(env, key) != 7) return -EINVAL;
  (*env)->SetLongArrayRegion(env, key, 0, 7, k);
  return 0;
}

NATIVE(jlong, drainStarted)(JNIEnv *env, jclass c, jlong h) {
  (void)env, (void)c;
  return (jlong)vr_engine_drain_started(engine(h));
}
NATIVE(void, projectState)(JNIEnv *env, jclass c, jlong h, jint state) {
  (void)env, (void)c;
  struct vr_dyn *d = (struct vr_dyn *)(uintptr_t)vr_engine_vdir(engine(h))->dyn;
  __atomic_store_n(&d->state, (uint32_t)state, __ATOMIC_RELAXED);
}
NATIVE(jlong, board)(JNIEnv *env, jclass c, jlong h) { return (void)env, (void)c, (jlong)(intptr_t)vr_engine_board(engine(h))->base; }
NATIVE(jlong, boardStruct)(JNIEnv *env, jclass c, jlong h) { return (void)env, (void)c, (jlong)(intptr_t)vr_engine_board(engine(h)); }

/* The counters of the board: 64 statistics, then superseded, overflow, corrupt, want, no_stage, staged_count, loads, verify_diffs, faults. */
NATIVE(jint, counters)(JNIEnv *env, jclass c, jlong h, jlongArray out) {
  (void)c;
  struct vr_board_dyn *d = vr_engine_board(engine(h))->dyn;
  jlong v[VR_BOARD_STATS + 9];
  if ((*env)->GetArrayLength(env, out) != (jsize)(sizeof v / sizeof *v)) return -EINVAL;
  for (unsigned i = 0; i < VR_BOARD_STATS; i++) v[i] = (jlong)__atomic_load_n(&d->stats[i], __ATOMIC_RELAXED);
  const uint32_t *words[9] = {&d->superseded, &d->overflow, &d->corrupt, &d->want, &d->no_stage, &d->staged_count, &d->loads, &d->verify_diffs, &d->faults};
  for (unsigned i = 0; i < 9; i++) {
    uint32_t w = __atomic_load_n(words[i], __ATOMIC_RELAXED);
    v[VR_BOARD_STATS + i] = words[i] == &d->overflow || words[i] == &d->staged_count ? w & 0xffff : w; /* counted in both halves */
  }
  (*env)->SetLongArrayRegion(env, out, 0, (jsize)(sizeof v / sizeof *v), v);
  return 0;
}
NATIVE(void, zeroStats)(JNIEnv *env, jclass c, jlong h) {
  (void)env, (void)c;
  struct vr_board_dyn *d = vr_engine_board(engine(h))->dyn;
  for (unsigned i = 0; i < VR_BOARD_STATS; i++) __atomic_store_n(&d->stats[i], 0, __ATOMIC_RELAXED);
}
NATIVE(void, addNoStage)(JNIEnv *env, jclass c, jlong h, jint count) {
  (void)env, (void)c;
  __atomic_fetch_add(&vr_engine_board(engine(h))->dyn->no_stage, (uint32_t)count, __ATOMIC_SEQ_CST);
}

/* Takes the pids that asked to be classified. */
NATIVE(jint, takeClassify)(JNIEnv *env, jclass c, jlong h, jintArray pids) {
  (void)c;
  jint got[VR_BOARD_CLASSIFY], n = 0;
  uint64_t *w = vr_engine_board(engine(h))->classify;
  for (unsigned i = 0; i < VR_BOARD_CLASSIFY; i++) {
    uint64_t v = __atomic_load_n(&w[i], __ATOMIC_RELAXED) ? __atomic_exchange_n(&w[i], 0, __ATOMIC_ACQ_REL) : 0;
    if (v && v <= 0x7fffffff) got[n++] = (jint)v;
  }
  if ((*env)->GetArrayLength(env, pids) < n) n = (*env)->GetArrayLength(env, pids);
  (*env)->SetIntArrayRegion(env, pids, 0, n, got);
  return n;
}
NATIVE(jint, freeEscaped)(JNIEnv *env, jclass c, jlong h) {
  (void)env, (void)c;
  struct vr_engine *e = engine(h);
  return vr_engine_free_escaped(vr_engine_board(e), vr_engine_root_dev(e));
}

/* One entry: 0 found, 1 state, 2 slot, 3 ver==pub, 4 G clean, 5 ino, 6 size, 7 mode, 8 mtime, 9 mtime_ns, 10 live records naming the slot or
 * inode, 11 live records naming G, 12 nlink, 13 staged records of the path. */
NATIVE(jint, explain)(JNIEnv *env, jclass c, jlong h, jbyteArray rel, jlongArray out) {
  (void)c;
  char path[PATH_LIMIT];
  int e = c_string(env, rel, path, sizeof path);
  if (e) return e;
  struct vr_vdir *v = vr_engine_vdir(engine(h));
  struct vr_board *b = vr_engine_board(engine(h));
  size_t len = strlen(path);
  uint64_t hash = vr_hash64(path, len, v->seed);
  uint32_t slot = vr_slot(hash);
  struct vr_entry en;
  memset(&en, 0, sizeof en);
  int found = vr_vdir_get(v, path, len, hash, &en, NULL, 0);
  jlong o[14] = {found, en.state, slot, b->ver[slot] == v->pub[slot], b->ver[0] == v->pub[0], (jlong)en.ino, (jlong)en.size, en.mode, (jlong)en.mtime,
                 en.mtime_ns, 0, 0, en.nlink, 0};
  for (unsigned i = 0; i < VR_BOARD_RECORDS; i++) {
    struct vr_record *r = &b->records[i];
    if (__atomic_load_n(&r->state, __ATOMIC_ACQUIRE) != VR_BOARD_RECORD_LIVE) continue;
    int here = found == 1 && en.ino && (r->ino[0] == en.ino || r->ino[1] == en.ino), all = 0;
    for (int s = 0; s < 6; s++) here |= r->slots[s] == slot, all |= r->slots[s] == 0;
    o[10] += here, o[11] += all;
  }
  for (unsigned i = 0; i < VR_BOARD_STAGED; i++)
    o[13] += __atomic_load_n(&b->staged[i].state, __ATOMIC_ACQUIRE) == VR_BOARD_STAGED_LIVE && b->staged[i].path_hash == hash;
  if ((*env)->GetArrayLength(env, out) != 14) return -EINVAL;
  (*env)->SetLongArrayRegion(env, out, 0, 14, o);
  return 0;
}
