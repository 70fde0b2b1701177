/* dev.vrift.meta.Lmdb: the store for Java. Handles are pointers; the Java owner serialises calls and calls none after close. */
#include "lmdb_store.h"
#include <jni.h>
#include <dlfcn.h>
#include <stdlib.h>

#define NATIVE(type, name) JNIEXPORT type JNICALL Java_dev_vrift_meta_Lmdb_##name
#define STORE(h) ((struct lm_store *)(intptr_t)(h))

/* A NUL-terminated copy of a byte array, to be freed. */
static char *text(JNIEnv *env, jbyteArray bytes) {
  jsize n = (*env)->GetArrayLength(env, bytes);
  char *out = malloc((size_t)n + 1);
  if (!out) return NULL;
  (*env)->GetByteArrayRegion(env, bytes, 0, n, (jbyte *)out);
  out[n] = 0;
  return out;
}

NATIVE(jlong, open)(JNIEnv *env, jclass c, jbyteArray dir, jbyteArray library, jlong map_size, jint wait_ms) {
  (void)c;
  char *d = text(env, dir), *l = text(env, library);
  struct lm_store *s = d && l ? lm_open(d, l, (uint64_t)map_size, wait_ms) : NULL;
  free(d);
  free(l);
  return (jlong)(intptr_t)s;
}
NATIVE(jint, status)(JNIEnv *env, jclass c, jlong h) {
  (void)env, (void)c;
  return lm_status_of(STORE(h));
}
NATIVE(jbyteArray, why)(JNIEnv *env, jclass c, jlong h) {
  (void)c;
  const char *w = lm_why(STORE(h));
  jsize n = (jsize)strlen(w);
  jbyteArray out = (*env)->NewByteArray(env, n);
  if (out) (*env)->SetByteArrayRegion(env, out, 0, n, (const jbyte *)w);
  return out;
}
NATIVE(jint, apply)(JNIEnv *env, jclass c, jlong h, jlong address, jint length) {
  (void)env, (void)c;
  return lm_apply(STORE(h), (const void *)(intptr_t)address, (size_t)length);
}
NATIVE(jint, load)(JNIEnv *env, jclass c, jlong h, jbyteArray position, jlong address, jint capacity) {
  (void)c;
  uint8_t at[LM_POSITION_SIZE];
  if ((*env)->GetArrayLength(env, position) != LM_POSITION_SIZE) return LM_ARGUMENT;
  (*env)->GetByteArrayRegion(env, position, 0, LM_POSITION_SIZE, (jbyte *)at);
  jint n = (jint)lm_load(STORE(h), at, (void *)(intptr_t)address, (size_t)capacity);
  (*env)->SetByteArrayRegion(env, position, 0, LM_POSITION_SIZE, (const jbyte *)at);
  return n;
}
NATIVE(jint, get)(JNIEnv *env, jclass c, jlong h, jbyteArray path, jlong address, jint capacity) {
  (void)c;
  jsize n = (*env)->GetArrayLength(env, path);
  char bytes[4096];
  if (n > 4095) return LM_ARGUMENT;
  (*env)->GetByteArrayRegion(env, path, 0, n, (jbyte *)bytes);
  return (jint)lm_get(STORE(h), bytes, (size_t)n, (void *)(intptr_t)address, (size_t)capacity);
}
NATIVE(jint, put)(JNIEnv *env, jclass c, jlong h, jbyteArray key, jbyteArray value) {
  (void)c;
  jsize kn = (*env)->GetArrayLength(env, key), vn = (*env)->GetArrayLength(env, value);
  jbyte k[LM_KEY_MAX], v[LM_KV_MAX];
  if (kn > (jsize)sizeof k || vn > (jsize)sizeof v) return LM_ARGUMENT;
  (*env)->GetByteArrayRegion(env, key, 0, kn, k);
  (*env)->GetByteArrayRegion(env, value, 0, vn, v);
  return lm_kv_put(STORE(h), k, (size_t)kn, v, (size_t)vn);
}
/* NULL: no such key, or a failure (see status). */
NATIVE(jbyteArray, value)(JNIEnv *env, jclass c, jlong h, jbyteArray key) {
  (void)c;
  jsize kn = (*env)->GetArrayLength(env, key);
  jbyte k[LM_KEY_MAX], v[LM_KV_MAX];
  if (kn > (jsize)sizeof k) return NULL;
  (*env)->GetByteArrayRegion(env, key, 0, kn, k);
  int n = lm_kv_get(STORE(h), k, (size_t)kn, v, sizeof v);
  jbyteArray out = n < 0 ? NULL : (*env)->NewByteArray(env, n);
  if (out) (*env)->SetByteArrayRegion(env, out, 0, n, v);
  return out;
}
NATIVE(jint, sync)(JNIEnv *env, jclass c, jlong h) {
  (void)env, (void)c;
  return lm_sync(STORE(h));
}
NATIVE(void, info)(JNIEnv *env, jclass c, jlong h, jlongArray out) {
  (void)c;
  int64_t v[6];
  if ((*env)->GetArrayLength(env, out) < 6) return;
  lm_info(STORE(h), v);
  (*env)->SetLongArrayRegion(env, out, 0, 6, (const jlong *)v);
}
NATIVE(void, close)(JNIEnv *env, jclass c, jlong h) {
  (void)env, (void)c;
  lm_close(STORE(h));
}
/* Where this library lies, so that liblmdb.so beside it is found. */
NATIVE(jbyteArray, here)(JNIEnv *env, jclass c) {
  (void)c;
  Dl_info info;
  if (!dladdr((void *)lm_open, &info) || !info.dli_fname) return NULL;
  jsize n = (jsize)strlen(info.dli_fname);
  jbyteArray out = (*env)->NewByteArray(env, n);
  if (out) (*env)->SetByteArrayRegion(env, out, 0, n, (const jbyte *)info.dli_fname);
  return out;
}
/* Native memory of a batch: 8-aligned, zeroed, 0 when there is none. */
NATIVE(jlong, allocate)(JNIEnv *env, jclass c, jint size) {
  (void)env, (void)c;
  return (jlong)(intptr_t)calloc(1, (size_t)size);
}
NATIVE(void, release)(JNIEnv *env, jclass c, jlong address) {
  (void)env, (void)c;
  free((void *)(intptr_t)address);
}
NATIVE(jobject, view)(JNIEnv *env, jclass c, jlong address, jint size) {
  (void)c;
  return (*env)->NewDirectByteBuffer(env, (void *)(intptr_t)address, size);
}
