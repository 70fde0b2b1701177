"""What a tree looks like, and where three of them differ."""
import fnmatch
import hashlib
import os
import stat


def manifest(root, ignore):
    """path -> {type, mode, links, owner, size, sha256 or target}. `.vrift` is vrift's own."""
    result = {}
    for folder, dirs, files in os.walk(root):
        if folder == root and ".vrift" in dirs:
            dirs.remove(".vrift")
        for name in dirs + files:
            path = os.path.join(folder, name)
            relative = os.path.relpath(path, root)
            if any(fnmatch.fnmatch(relative, pattern) for pattern in ignore):
                continue
            result[relative] = describe(path)
    return result


def describe(path):
    s = os.lstat(path)
    entry = {"type": stat.S_IFMT(s.st_mode), "mode": stat.S_IMODE(s.st_mode), "owner": (s.st_uid, s.st_gid)}
    if stat.S_ISLNK(s.st_mode):
        entry["target"] = os.readlink(path)
    elif stat.S_ISREG(s.st_mode):
        entry["links"] = s.st_nlink
        entry["size"] = s.st_size
        digest = hashlib.sha256()
        with open(path, "rb") as f:
            for block in iter(lambda: f.read(1 << 20), b""):
                digest.update(block)
        entry["sha256"] = digest.hexdigest()
    return entry


def differences(first, second, third):
    """Lines for what differs in `third` although `first` and `second` agree."""
    lines = []
    for path in sorted(set(first) | set(third)):
        a, b, c = first.get(path), second.get(path), third.get(path)
        if (a is None) != (b is None):
            continue
        if (a is None) != (c is None):
            lines.append("%s: %s under vrift" % (path, "missing" if c is None else "only"))
            continue
        if a is None:
            continue
        for key in a:
            if a[key] == b.get(key) and a[key] != c.get(key):
                lines.append("%s: %s is %s natively, %s under vrift" % (path, key, a[key], c.get(key)))
    return lines
