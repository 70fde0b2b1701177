/* dev.vrift.platform.Faults: the fault points of a daemon. The library's own copy of vr_fault.c serves the C and the Java points. */
#include <errno.h>
#include <fcntl.h>
#include <jni.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "vr_fault.h"

#define NATIVE(type, name) JNIEXPORT type JNICALL Java_dev_vrift_platform_Faults_##name
#define PATH_LIMIT 4096
#define TEXT_LIMIT 4096
#define NAME_LIMIT 64
#define LIST_BYTES 16384

static int c_string(JNIEnv *env, jbyteArray a, char *out, size_t limit) {
  jsize n = (*env)->GetArrayLength(env, a);
  if ((size_t)n >= limit) return -ENAMETOOLONG;
  (*env)->GetByteArrayRegion(env, a, 0, n, (jbyte *)out);
  out[n] = 0;
  return memchr(out, 0, (size_t)n) ? -EINVAL : 0;
}

/* The whole file, if it is one that only we can have written. Length or -errno. */
static int read_own(const char *path, char text[TEXT_LIMIT]) {
  int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return -errno;
  struct stat st;
  int r = fstat(fd, &st) < 0 ? -errno : 0;
  if (r == 0 && (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077))) r = -EPERM;
  if (r == 0 && st.st_size >= TEXT_LIMIT) r = -EFBIG;
  ssize_t n = r == 0 ? read(fd, text, TEXT_LIMIT - 1) : 0;
  close(fd);
  if (r < 0 || n < 0) return r < 0 ? r : -EIO;
  text[n] = 0;
  return (int)n;
}

NATIVE(jint, take)(JNIEnv *env, jclass c, jbyteArray file, jbyteArray out) {
  (void)c;
  char path[PATH_LIMIT], text[TEXT_LIMIT];
  int e = c_string(env, file, path, sizeof path);
  if (e) return e;
  int n = read_own(path, text);
  if (n == -ENOENT || n == -EPERM) return n;
  if (unlink(path) < 0) return -errno;
  if (n < 0) return n;
  e = vr_fault_arm(text, NULL);
  if (e) return e;
  jsize room = (*env)->GetArrayLength(env, out);
  if (n > room) n = room;
  (*env)->SetByteArrayRegion(env, out, 0, n, (const jbyte *)text);
  return n;
}

NATIVE(jboolean, armed)(JNIEnv *env, jclass c) { return (void)env, (void)c, vr_fault_on != 0; }

NATIVE(void, hit)(JNIEnv *env, jclass c, jbyteArray name) {
  (void)c;
  char text[NAME_LIMIT];
  if (c_string(env, name, text, sizeof text)) return;
  int p = vr_fault_find(text, strlen(text));
  if (p >= 0) vr_fault((enum vr_fault_point)p);
}

static jbyteArray bytes(JNIEnv *env, const char *text, size_t n) {
  jbyteArray out = (*env)->NewByteArray(env, (jsize)n);
  if (out) (*env)->SetByteArrayRegion(env, out, 0, (jsize)n, (const jbyte *)text);
  return out;
}

NATIVE(jbyteArray, fired)(JNIEnv *env, jclass c) {
  (void)c;
  char text[LIST_BYTES];
  size_t n = 0;
  for (int p = 0; p < VR_POINTS && n < sizeof text - 2 * NAME_LIMIT; p++)
    if (vr_fault_fired((enum vr_fault_point)p))
      n += (size_t)snprintf(text + n, sizeof text - n, "%s=%u\n", vr_fault_name((enum vr_fault_point)p), vr_fault_fired((enum vr_fault_point)p));
  return bytes(env, text, n);
}

NATIVE(jbyteArray, names)(JNIEnv *env, jclass c, jbyteArray component) {
  (void)c;
  char text[LIST_BYTES], wanted[NAME_LIMIT];
  size_t n = 0;
  if (c_string(env, component, wanted, sizeof wanted)) return NULL;
  for (int p = 0; p < VR_POINTS && n < sizeof text - 2 * NAME_LIMIT; p++)
    if (!strcmp(vr_fault_component((enum vr_fault_point)p), wanted))
      n += (size_t)snprintf(text + n, sizeof text - n, "%s\n", vr_fault_name((enum vr_fault_point)p));
  return bytes(env, text, n);
}
