/* dev.vrift.staging.StagingNative: the daemon's hands on staged files. Addresses are those of a whole mapped board, checked here. */
#include <jni.h>
#include <stdlib.h>
#include <signal.h>
#include <unistd.h>
#include "vr_stage.h"

#define NATIVE(type, name) JNIEXPORT type JNICALL Java_dev_vrift_staging_StagingNative_##name
#define PATH_LIMIT 4096
#define LONGS_PER_RECORD 8

static int board_at(jlong address, struct vr_board *b) {
  memset(b, 0, sizeof *b);
  return address != 0 && vr_board_attach(b, (void *)(uintptr_t)address, VR_BOARD_SIZE) == 0;
}
static int c_string(JNIEnv *env, jbyteArray a, char *out) {
  jsize n = (*env)->GetArrayLength(env, a);
  if (n <= 0 || n >= PATH_LIMIT) return 0;
  (*env)->GetByteArrayRegion(env, a, 0, n, (jbyte *)out);
  out[n] = 0;
  return memchr(out, 0, (size_t)n) == NULL;
}
/* A lease that a late writer breaks must not kill us. Once is enough; nobody else in the daemon uses SIGIO. */
static void ignore_sigio(void) {
  static int done;
  if (!__atomic_exchange_n(&done, 1, __ATOMIC_RELAXED)) signal(SIGIO, SIG_IGN);
}

NATIVE(jlongArray, records)(JNIEnv *env, jclass c, jlong address) {
  (void)c;
  struct vr_board b;
  static const jlong none[1];
  jlongArray out;
  uint32_t n = 0, high = 0;
  if (board_at(address, &b)) high = vr_high(__atomic_load_n(&b.dyn->staged_high, __ATOMIC_SEQ_CST), VR_BOARD_STAGED);
  jlong *all = high ? malloc(sizeof(jlong) * LONGS_PER_RECORD * high) : NULL;
  for (uint32_t i = 0; all && i < high; i++) {
    struct vr_staged r;
    uint32_t state = __atomic_load_n(&b.staged[i].state, __ATOMIC_SEQ_CST);
    if (VR_STAGED_STATE(state) == VR_BOARD_STAGED_FREE) continue;
    int good = vr_staged_copy(&b, i, &r);
    jlong *at = all + LONGS_PER_RECORD * n++;
    at[0] = i;
    at[1] = good ? r.state : state;
    at[2] = good;
    at[3] = good ? r.pid : 0;
    at[4] = good ? (jlong)r.time : 0;
    at[5] = good ? r.fd : 0;
    at[6] = good ? (jlong)r.stamp : 0;
    at[7] = good ? r.flags : 0;
  }
  out = (*env)->NewLongArray(env, (jsize)(LONGS_PER_RECORD * n));
  if (out) (*env)->SetLongArrayRegion(env, out, 0, (jsize)(LONGS_PER_RECORD * n), all ? all : none);
  free(all);
  return out;
}

NATIVE(jbyteArray, path)(JNIEnv *env, jclass c, jlong address, jint index) {
  (void)c;
  struct vr_board b;
  struct vr_staged r;
  if (!board_at(address, &b) || index < 0 || !vr_staged_copy(&b, (uint32_t)index, &r)) return NULL;
  jbyteArray out = (*env)->NewByteArray(env, r.path_len);
  if (out) (*env)->SetByteArrayRegion(env, out, 0, r.path_len, (const jbyte *)r.path);
  return out;
}

NATIVE(jint, sweep)(JNIEnv *env, jclass c, jlong address, jbyteArray root, jint index) {
  (void)c;
  struct vr_board b;
  char path[PATH_LIMIT];
  if (!board_at(address, &b) || index < 0 || !c_string(env, root, path)) return VR_SWEEP_NOTHING;
  ignore_sigio();
  return vr_stage_sweep(&b, path, (uint32_t)index, (uint32_t)getpid(), (uint32_t)gettid());
}

NATIVE(jint, promote)(JNIEnv *env, jclass c, jlong address, jbyteArray root, jint index) {
  (void)c;
  struct vr_board b;
  char path[PATH_LIMIT];
  if (!board_at(address, &b) || index < 0 || !c_string(env, root, path)) return 0;
  return vr_stage_promote_other(&b, path, (uint32_t)index, (uint32_t)getpid(), (uint32_t)gettid(), 0);
}

NATIVE(jint, free)(JNIEnv *env, jclass c, jlong address, jint index, jint state) {
  (void)env, (void)c;
  struct vr_board b;
  if (!board_at(address, &b) || index < 0 || index >= (jint)VR_BOARD_STAGED) return 0;
  return vr_staged_free(&b, (uint32_t)index, (uint32_t)state);
}

/* Nothing is staged, yet the count says so (a client was killed between the two stores): without this every look would scan. */
NATIVE(void, clearCount)(JNIEnv *env, jclass c, jlong address, jint seen) {
  (void)env, (void)c;
  struct vr_board b;
  uint32_t was = (uint32_t)seen;
  if (board_at(address, &b)) __atomic_compare_exchange_n(&b.dyn->staged_count, &was, 0, 0, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}
NATIVE(jint, count)(JNIEnv *env, jclass c, jlong address) {
  (void)env, (void)c;
  struct vr_board b;
  return board_at(address, &b) ? (jint)__atomic_load_n(&b.dyn->staged_count, __ATOMIC_SEQ_CST) : 0;
}

NATIVE(jint, hasWriter)(JNIEnv *env, jclass c, jbyteArray file) {
  (void)c;
  char path[PATH_LIMIT];
  if (!c_string(env, file, path)) return -EINVAL;
  ignore_sigio();
  return vr_stage_has_writer(AT_FDCWD, path);
}

/* rename(2) that replaces nothing. 0 or -errno. */
NATIVE(jint, moveNew)(JNIEnv *env, jclass c, jbyteArray from, jbyteArray to) {
  (void)c;
  char a[PATH_LIMIT], b[PATH_LIMIT];
  if (!c_string(env, from, a) || !c_string(env, to, b)) return -EINVAL;
  return vr_renameat2(AT_FDCWD, a, AT_FDCWD, b, 1 /* RENAME_NOREPLACE */);
}

NATIVE(jlong, bootNanos)(JNIEnv *env, jclass c) { return (void)env, (void)c, (jlong)vr_boot_ns(); }
