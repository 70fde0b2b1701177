"""Builds by other tools: cargo, git, npm and tsc, python, javac, go. What must come from a registry is fetched once, natively."""
import os
import shutil
import subprocess

from builds_c import write


def quiet(command, cwd, env):
    done = subprocess.run(command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, shell=isinstance(command, str))
    return None if done.returncode == 0 else "preparing failed: %s: %s" % (command, done.stdout[-500:])


def need(*tools):
    missing = [t for t in tools if not shutil.which(t)]
    return "not installed: " + ", ".join(missing) if missing else None


CARGO = """[package]
name = "oracle"
version = "0.1.0"
edition = "2021"
[dependencies]
serde = { version = "1", features = ["derive"] }
serde_json = "1"
anyhow = "1"
thiserror = "1"
regex = "1"
log = "0.4"
libc = "0.2"
bitflags = "2"
itoa = "1"
smallvec = "1"
semver = "1"
indexmap = "2"
either = "1"
cfg-if = "1"
num-traits = "0.2"
[workspace]
"""

CARGO_MAIN = """use serde::{Deserialize, Serialize};
#[derive(Serialize, Deserialize, Debug)]
struct Point { x: i32, y: i32 }
#[derive(thiserror::Error, Debug)]
enum Bad { #[error("no")] No }
fn main() -> anyhow::Result<()> {
    let p: Point = serde_json::from_str("{\\"x\\":1,\\"y\\":2}")?;
    let r = regex::Regex::new("[0-9]+")?;
    println!("{:?} {} {} {}", p, r.is_match("12"), Bad::No, env!("ORACLE_BUILD"));
    Ok(())
}
"""


def prepare_cargo(root, env):
    why = need("cargo", "rustc")
    if why:
        return why
    write(root + "/Cargo.toml", CARGO)
    write(root + "/src/main.rs", CARGO_MAIN)
    write(root + "/build.rs", 'fn main() { println!("cargo:rustc-env=ORACLE_BUILD=1"); println!("cargo:rerun-if-changed=build.rs"); }\n')
    return quiet(["cargo", "fetch"], root, env)


def prepare_git(root, env):
    why = need("git")
    if why:
        return why
    origin = root + "/origin"
    for d in range(50):
        for i in range(104):
            write("%s/d%d/s%d/f%d.txt" % (origin, d, d % 7, i), "file %d %d\n" % (d, i) * (i % 9 + 1))
    dates = dict(env, GIT_AUTHOR_DATE="2024-01-01T00:00:00Z", GIT_COMMITTER_DATE="2024-01-01T00:00:00Z")
    setup = ("git init -q -b main && git config user.email a@b && git config user.name n && git add -A && git commit -qm one && "
             "git checkout -qb side && git rm -qr d1 d2 && echo x > d3/new && sed -i s/file/FILE/ d4/s4/*.txt && git add -A && "
             "git commit -qm two && git checkout -q main")
    return quiet(setup, origin, dates)


def prepare_npm(root, env):
    why = need("npm", "node")
    if why:
        return why
    write(root + "/package.json", '{"name":"oracle","version":"1.0.0","private":true,"devDependencies":{"typescript":"5.4.5","left-pad":"1.3.0","is-number":"7.0.0"}}\n')
    write(root + "/tsconfig.json", '{"compilerOptions":{"outDir":"out","rootDir":"src","incremental":true,"tsBuildInfoFile":"out/info","strict":true,"target":"es2020","module":"commonjs"},"include":["src"]}\n')
    for i in range(40):
        write("%s/src/m%d.ts" % (root, i), ("import { f%d } from './m%d';\n" % (i - 1, i - 1) if i else "")
              + "export function f%d(x: number): number { return %s; }\n" % (i, "f%d(x) + 1" % (i - 1) if i else "x"))
    return quiet(["npm", "install", "--no-audit", "--no-fund", "--package-lock-only"], root, env) or quiet(
        "npm ci --no-audit --no-fund && rm -rf node_modules", root, env)


def prepare_python(root, env):
    if quiet(["python3", "-m", "venv", root + "/probe"], root, env):
        return "python3 cannot make virtual environments (apt-get install python3-venv)"
    shutil.rmtree(root + "/probe")
    for i in range(80):
        write("%s/pkg/p%d/m%d.py" % (root, i % 8, i), "def f%d(x):\n    return x + %d\n" % (i, i))
        write("%s/pkg/p%d/__init__.py" % (root, i % 8), "")
    write(root + "/pkg/__init__.py", "")
    return quiet(["python3", "-m", "pip", "download", "-q", "--no-deps", "-d", "wheels", "six==1.16.0", "idna==3.7", "packaging==24.0"], root, env)


def prepare_javac(root, env):
    why = need("javac", "jar")
    if why:
        return why
    for i in range(60):
        write("%s/src/o/C%d.java" % (root, i), "package o;\npublic final class C%d { public static int f(int x) { return %s; } }\n"
              % (i, "C%d.f(x) + 1" % (i - 1) if i else "x"))
    write(root + "/src/o/Main.java", "package o;\npublic final class Main { public static void main(String[] a) { System.out.println(C59.f(1)); } }\n")


def prepare_go(root, env):
    why = need("go")
    if why:
        return why
    write(root + "/go.mod", "module oracle\n\ngo 1.20\n")
    for i in range(12):
        write("%s/p%d/p.go" % (root, i), "package p%d\n\nfunc F(x int) int { return x + %d }\n" % (i, i))
    write(root + "/main.go", "package main\n\nimport (\n\t\"fmt\"\n" + "".join('\t"oracle/p%d"\n' % i for i in range(12)) + ")\n\nfunc main() {\n\tx := 0\n"
          + "".join("\tx = p%d.F(x)\n" % i for i in range(12)) + "\tfmt.Println(x)\n}\n")
    return quiet("GOCACHE=$ORACLE_HOME/go go build -o /dev/null .", root, env)


ALL = {
    "cargo": {"prepare": prepare_cargo, "ignore": ["target/debug/.fingerprint/*/invoked.timestamp", "target/debug/incremental/*", "target/.rustc_info.json"],
              "steps": ["cargo build --offline -q", "cargo build --offline -q", "./target/debug/oracle", "cargo build --offline -v 2>&1 | grep -c Fresh",
                        "sleep 0.02; echo '// changed' >> src/main.rs; cargo build --offline -q", "cargo build --offline -v 2>&1 | grep -c Dirty", "./target/debug/oracle"],
              "codes": (0, 1)},
    "git": {"prepare": prepare_git, "ignore": ["work/.git/index", "work/.git/logs/*", "work/.git/objects/pack/*", "work/.git/objects/info/*", "work/.git/ORIG_HEAD"],
            "steps": ["git clone -q origin work", "cd work && git status --porcelain", "cd work && git checkout -q side && git status --porcelain | wc -l",
                      "cd work && echo y > d5/s5/f1.txt && rm d6/s6/f2.txt && echo n > new && git status --porcelain", "cd work && git checkout -q . && git clean -qfd && git status --porcelain",
                      "cd work && git checkout -q main && ls d1 | wc -l", "cd work && git gc -q", "cd work && git fsck 2>&1", "cd work && git status --porcelain; git log --oneline | wc -l",
                      "cd work && git mv d7/s0 d7/moved && git status --porcelain | wc -l && git reset -q --hard && git status --porcelain"]},
    "npm-tsc": {"prepare": prepare_npm, "ignore": ["node_modules/.package-lock.json"],
                "steps": ["npm ci --no-audit --no-fund --offline --silent", "npx tsc", "npx tsc", "echo '// x' >> src/m3.ts; npx tsc", "node -e 'console.log(require(\"./out/m39\").f39(1))'"]},
    "python": {"prepare": prepare_python, "ignore": ["v/bin/*", "*.pyc"],
               "steps": ["python3 -m venv v", "v/bin/pip install -q --no-index --disable-pip-version-check -f wheels six idna packaging", "v/bin/python -m compileall -q pkg", "v/bin/python -m compileall -q pkg",
                         "v/bin/python -c 'import six, idna, packaging, pkg.p1.m1 as m; print(m.f1(1))'", "echo 'X=1' >> pkg/p1/m1.py; v/bin/python -c 'import pkg.p1.m1 as m; print(m.X)'"]},
    "javac": {"prepare": prepare_javac, "ignore": ["o.jar"],
              "steps": ["javac -d out src/o/*.java", "java -cp out o.Main", "sed -i 's/x) + 1/x) + 2/' src/o/C5.java; javac -d out -cp out src/o/C5.java", "jar cf o.jar -C out . && java -cp o.jar o.Main", "rm -r out && javac -d out src/o/*.java && java -cp out o.Main"]},
    "go": {"prepare": prepare_go, "steps": ["mkdir -p gen && sh -c 'echo package gen > gen/g.go' && export GOCACHE=$ORACLE_HOME/go && go build -o app . && ./app",
                                             "export GOCACHE=$ORACLE_HOME/go; go vet ./... && ls; cp app app2; cmp app app2 && echo same", "export GOCACHE=$ORACLE_HOME/go; sed -i 's/x + 3/x + 4/' p3/p.go && go build -o app . && ./app && test app -nt app2 && echo newer"]},
}
