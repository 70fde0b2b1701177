/* Between the engine's changes and names (native/core/vr_engine.h) and the store's batches. */
#include "vr_meta.h"
#include <jni.h>
#include <stdbool.h>

#define NATIVE(type, name) JNIEXPORT type JNICALL Java_dev_vrift_meta_Lmdb_##name
#define CHANGE_HEAD 8 /* u16 path length, u16 zero, u32 zero; then a vr_entry and the path, unaligned */
#define PATH_LIMIT 4095

/* Changes → batch. A GONE entry deletes. Bytes written, or -1 when the changes are malformed or do not fit. */
NATIVE(jint, fromChanges)(JNIEnv *env, jclass c, jlong in, jint n, jlong out, jint cap, jlong epoch) {
  (void)env, (void)c;
  const uint8_t *p = (const uint8_t *)(intptr_t)in;
  uint8_t *q = (uint8_t *)(intptr_t)out;
  size_t used = 0;
  for (size_t at = 0; at < (size_t)n;) {
    uint16_t len;
    struct vr_entry e;
    if ((size_t)n - at < CHANGE_HEAD + sizeof e) return -1;
    memcpy(&len, p + at, 2);
    memcpy(&e, p + at + CHANGE_HEAD, sizeof e);
    at += CHANGE_HEAD + sizeof e;
    if (len > PATH_LIMIT || len > (size_t)n - at) return -1;
    bool gone = e.state & VR_ENTRY_GONE;
    size_t k = vr_meta_append(q + used, (size_t)cap - used, gone ? VR_META_OP_DELETE : VR_META_OP_PUT, gone ? NULL : &e, 0, (uint64_t)epoch,
                              (const char *)p + at, len, NULL, 0);
    if (!k) return -1;
    used += k;
    at += len;
  }
  return (jint)used;
}

/* Batch → names: u16 length, bytes, repeated; never longer than the batch. Bytes, or -1 when the batch is malformed. */
NATIVE(jint, names)(JNIEnv *env, jclass c, jlong in, jint n, jbyteArray into) {
  (void)c;
  const uint8_t *p = (const uint8_t *)(intptr_t)in;
  jsize cap = (*env)->GetArrayLength(env, into), used = 0;
  for (size_t at = 0; at < (size_t)n;) {
    size_t k = vr_meta_item(p + at, (size_t)n - at);
    if (!k) return -1;
    struct vr_meta m;
    memcpy(&m, p + at, sizeof m);
    uint16_t len = vr_meta_entry(&m)->path_len;
    if (cap - used < len + 2) return -1;
    (*env)->SetByteArrayRegion(env, into, used, 2, (const jbyte *)&len);
    (*env)->SetByteArrayRegion(env, into, used + 2, len, (const jbyte *)(p + at + VR_META_FIXED));
    used += len + 2;
    at += k;
  }
  return used;
}
