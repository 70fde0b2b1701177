/* The state file: what a daemon knows of its project besides the VDir, laid out so that its successor can go on with it after a kill at any
 * instruction (docs/ADOPTION.md). Mapped by the daemon alone; where there is no room for one, heap of the same layout.
 *   0      struct vr_state       4096
 *   4096   journal               VR_JOURNAL
 *          slot_head[VR_SLOTS], nodes[node_cap], dirs[dir_cap], table[2 * node_cap], inos[2 * node_cap]
 * A kill leaves what a prefix of the stores has made, in the order of the program. VR_IN_ORDER keeps the compiler from changing that order. */
#ifndef VR_ENGINE_STATE_H
#define VR_ENGINE_STATE_H
#include <stddef.h>
#include <stdint.h>

#define VR_STATE_MAGIC 0x56525354u
#define VR_STATE_VERSION 1u
#define VR_STATE_HEAD 4096u
#define VR_JOURNAL (256u * 1024)
#define VR_IN_ORDER() __asm__ volatile("" ::: "memory")
#define VR_INDEX_ALL UINT64_MAX /* vr_state.indexing: the whole index is being made again */

/* One per path known; the number never changes in an engine's life, nor in its successor's. 40 bytes. */
struct vr_node {
  uint64_t hash;
  uint32_t off; /* of the entry, in 16 bytes */
  uint32_t parent, child, sibling;
  uint32_t slot_next; /* next node of the same slot */
  uint32_t dir;       /* index into dirs; 0: none */
  uint16_t target_cap;
  uint16_t flags;
};

struct vr_dir {
  uint32_t node;
  int32_t wd; /* -1: not watched */
  uint64_t ino;
  uint32_t mode, uid, gid;
  uint8_t ok;       /* real, searchable, watched, on the root's mount, below such: children may be CLEAN */
  uint8_t complete; /* all children are in */
  uint8_t queued;   /* in the scan queue */
  uint8_t drained;  /* read; COMPLETE after the next drain */
  uint8_t acl;
  uint8_t again;    /* a name could not be entered or something is in doubt: to be read again before COMPLETE */
  uint8_t limited;  /* outside the watch budget or quota */
};

struct vr_state {
  uint32_t magic, version;
  uint64_t file_size, state_id, vdir_id, board_id;
  uint64_t watch_id; /* the inotify instance that the watch numbers are of */
  uint32_t node_cap, dir_cap, node_size, dir_size; /* node_cap is a power of two */
  uint64_t build;    /* of the program: another version may mean something else by the same bytes */
  uint64_t checksum; /* of all above, seed VR_STATE_MAGIC */
  uint8_t reserved80[48];
  /* What moves. A mark is set before the first store of what it names and cleared after the last. */
  uint32_t whole;   /* 1: copied completely */
  uint32_t spoilt;  /* 1: damage is known, or a successor is being made of it: not to be adopted */
  uint32_t node_count, dir_count;
  uint32_t writing; /* node + 1 whose flags and entry are being changed */
  uint32_t dropping, dropping_self; /* node + 1 below which everything is being made UNVERIFIED, and whether itself */
  uint32_t tabling;     /* 1: the tables are being made anew */
  uint64_t indexing;    /* bucket + 1 that is being written; VR_INDEX_ALL */
  uint64_t mounts_hash; /* of the mounts at the time when everything was last in agreement with them */
  uint32_t overflow;    /* 1: events were lost, and what that means is not taken back everywhere */
  uint32_t distrusting; /* 1: everything is to be made UNVERIFIED */
  uint32_t root_away;   /* 1: the root was moved, the same */
  uint32_t corrupt_seen; /* board's corrupt as of the last look at all checksums */
  uint64_t turned;       /* CLOCK_BOOTTIME ns of the last turn: what only time changes is looked after by the living */
};
_Static_assert(offsetof(struct vr_state, whole) == 128, "vr_state");
_Static_assert(sizeof(struct vr_state) <= VR_STATE_HEAD, "vr_state");
_Static_assert(sizeof(struct vr_node) == 40 && sizeof(struct vr_dir) == 40, "what the state file holds");

struct vr_region {
  uint8_t *base; /* NULL: none */
  uint64_t size, id; /* id 0: heap */
};
#endif
