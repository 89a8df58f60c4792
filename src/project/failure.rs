//! What an application's log says when it fails: known signs, named with the thing that is missing and the fix.
//!
//! The table goes from the special to the general; the first entry with a matching line wins. Never an opinion about
//! a line that it does not know.

/// A failure that was recognised in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownFailure {
    /// A stable name in kebab case, `python-module-missing`.
    pub id: &'static str,
    /// What went wrong: a lower-case fragment that names the thing.
    pub message: String,
    /// The line of the log, trimmed.
    pub line: String,
    /// What to do about it.
    pub hint: String,
}

/// Signs after which an app does not come up any more, as extended regular expressions for `grep -E`.
/// Only those that no healthy app writes: the check of the log in the `verify` script stops at them.
pub const FATAL_SIGNS: &[&str] = &[
    "^ModuleNotFoundError: ",
    "^ImportError: ",
    "^(SyntaxError|IndentationError): ",
    "^Error: Cannot find module ",
    "listen EADDRINUSE",
    "^OSError: .*Address already in use",
    "listen tcp .*address already in use",
    "java.lang.OutOfMemoryError",
    "JavaScript heap out of memory",
    "Unable to access jarfile",
    "UnsupportedClassVersionError",
    "PHP Fatal error: ",
    "^aliform: the secret ",
];

/// How the name of the thing is cut from the line.
enum Name {
    /// What stands between the two texts; an empty end means the end of the line.
    Between(&'static str, &'static str),
    /// Likewise, and the name is in capitals, as those of environment variables are.
    Capitals(&'static str, &'static str),
    /// The line holds the text; it names nothing.
    Sign(&'static str),
}

struct Known {
    id: &'static str,
    /// Any of them.
    signs: &'static [Name],
    /// `{}` stands for the name.
    message: &'static str,
    hint: &'static str,
}

use Name::{Between, Capitals, Sign};

const KNOWN: &[Known] = &[
    Known {
        id: "container-engine-missing",
        signs: &[
            Sign("Cannot connect to the Docker daemon"),
            Sign("docker does not run on this machine"),
            Sign("docker is missing on this machine"),
            Sign("is there to install docker"),
            Sign("docker is installed and could not be started"),
        ],
        message: "docker does not run on the machine",
        hint: "take a system (`os:`) with docker; machines of the local cloud have none: run the app from its `source:` there",
    },
    Known {
        id: "python-module-missing",
        signs: &[Between("No module named '", "'"), Between("No module named ", "")],
        message: "python module `{}` is missing",
        hint: "add the package that brings `{}` to `requirements.txt` (or the project's lock file)",
    },
    Known {
        id: "python-import-failed",
        signs: &[Between("ImportError: cannot import name '", "'")],
        message: "`{}` cannot be imported: another version of its package is installed",
        hint: "pin the version of the package that has `{}`",
    },
    Known {
        id: "node-module-missing",
        signs: &[Between("Cannot find module '", "'"), Between("Cannot find package '", "'")],
        message: "node module `{}` is missing",
        hint: "add `{}` to `dependencies` in `package.json` and keep the lock file; if it is a file of yours, check that it is built and not ignored",
    },
    Known {
        id: "ruby-gem-missing",
        signs: &[Between("cannot load such file -- ", ""), Between("Could not find gem '", "'")],
        message: "ruby library `{}` is missing",
        hint: "add the gem that brings `{}` to the `Gemfile` and run `bundle lock`",
    },
    Known {
        id: "php-class-missing",
        signs: &[Between("Class \"", "\" not found"), Between("Failed opening required '", "'")],
        message: "php cannot find `{}`",
        hint: "add the package that brings `{}` to `composer.json`, and keep `composer.lock`",
    },
    Known {
        id: "java-class-missing",
        signs: &[Between("Could not find or load main class ", ""), Between("java.lang.ClassNotFoundException: ", "")],
        message: "java class `{}` is missing from the jar",
        hint: "build a jar that holds its dependencies and names its main class",
    },
    Known {
        id: "java-too-old",
        signs: &[Sign("UnsupportedClassVersionError"), Sign("invalid target release"), Sign("error: release version")],
        message: "the code is built for a newer java than the machine has",
        hint: "build for an older release, or install the newer java in `install:`",
    },
    Known {
        id: "no-such-jar",
        signs: &[Between("Unable to access jarfile ", ""), Between("no main manifest attribute, in ", "")],
        message: "there is no runnable jar `{}`",
        hint: "check that the build makes `{}`, or name the right jar in `start:`",
    },
    Known {
        id: "port-in-use",
        signs: &[
            Between("EADDRINUSE: address already in use ", ""),
            Between("Connection in use: ", ""),
            Between("failed to listen on ", " (reason"),
            Between("listen tcp ", ": bind: address already in use"),
            Between("Web server failed to start. Port ", " was already in use"),
            Between("Failed to bind to address ", ": address already in use"),
            Between("the port ", " is in use by"),
        ],
        message: "the port `{}` is in use already",
        hint: "set another `port:`, or stop what listens there; the app has to listen on the PORT it is given",
    },
    Known {
        id: "port-in-use",
        signs: &[Sign("Address already in use"), Sign("address already in use"), Sign("Address in use"), Sign("AddrInUse")],
        message: "the port is in use already",
        hint: "set another `port:`, or stop what listens there; the app has to listen on the PORT it is given",
    },
    Known {
        id: "address-not-available",
        signs: &[
            Sign("EADDRNOTAVAIL"),
            Sign("Cannot assign requested address"),
            Sign("cannot assign requested address"),
            Sign("AddrNotAvailable"),
        ],
        message: "the app wants to listen on an address that the machine does not have",
        hint: "listen on `0.0.0.0`: an instance does not carry its public address itself",
    },
    Known {
        id: "out-of-memory",
        signs: &[
            Sign("java.lang.OutOfMemoryError"),
            Sign("JavaScript heap out of memory"),
            Sign("fatal error: runtime: out of memory"),
            Sign("Cannot allocate memory"),
            Sign("ENOMEM"),
            Sign("MemoryError"),
            Sign("Allowed memory size of"),
            Sign("OOMKilled"),
            Sign("oom-kill"),
            Sign("was sent SIGKILL! Perhaps out of memory?"),
        ],
        message: "the machine's memory was not enough",
        hint: "take an instance with more `memory:`, or bring what is built already",
    },
    Known {
        id: "disk-full",
        signs: &[Sign("No space left on device"), Sign("ENOSPC")],
        message: "the machine's disk is full",
        hint: "take a larger system disk, or let the app write less to it",
    },
    Known {
        id: "secret-missing",
        signs: &[Between("aliform: the secret `", "`")],
        message: "the secret `{}` was not there when the app started",
        hint: "run `aliform apply` with `{}` set in your environment, so that it is delivered again",
    },
    Known {
        id: "environment-variable-missing",
        signs: &[
            Capitals("KeyError: '", "'"),
            Between("Missing required environment variable: ", ""),
            Between("missing required environment variable ", ""),
            Between("environment variable `", "` is not set"),
            Between("Could not resolve placeholder '", "'"),
            Capitals("key not found: \"", "\" (KeyError)"),
        ],
        message: "the app asks for `{}`, which is not set",
        hint: "set `{}` under `env:` of the app; a secret as `{ from: env:{} }`",
    },
    Known {
        id: "environment-variable-missing",
        signs: &[Sign("NotPresent"), Sign("SECRET_KEY_BASE")],
        message: "an environment variable that the app needs is not set",
        hint: "set it under `env:` of the app",
    },
    Known {
        id: "python-too-old",
        signs: &[
            Sign("unsupported operand type(s) for |: 'type'"),
            Sign("requires a different Python"),
            Sign("Requires-Python"),
            Sign("'type' object is not subscriptable"),
            Sign("requires-python"),
        ],
        message: "the project needs another python than the machine has",
        hint: "take an image with a newer python (Ubuntu 24.04, Debian 12), or install one in `install:`",
    },
    Known {
        id: "node-too-old",
        signs: &[
            Sign("SyntaxError: Unexpected token '?'"),
            Sign("SyntaxError: Unexpected token '.'"),
            Sign("SyntaxError: Unexpected token '??='"),
            Sign("Unsupported engine"),
            Sign("EBADENGINE"),
            Sign("fetch is not defined"),
            Sign("ERR_UNKNOWN_BUILTIN_MODULE"),
        ],
        message: "the project needs a newer node than the machine has",
        hint: "take an image with a newer node, or say in `engines` of `package.json` what it needs",
    },
    Known {
        id: "esm-or-commonjs",
        signs: &[Sign("Cannot use import statement outside a module"), Sign("require is not defined in ES module scope")],
        message: "the code mixes `import` and `require`",
        hint: "set `\"type\": \"module\"` in `package.json`, or name the file `.mjs` or `.cjs`",
    },
    Known {
        id: "syntax-error",
        signs: &[
            Between("SyntaxError: ", ""),
            Between("IndentationError: ", ""),
            Between("PHP Parse error: ", ""),
            Between("syntax error, ", ""),
        ],
        message: "the code does not parse: {}",
        hint: "run it on this computer first; with code that works here, the machine's runtime is older",
    },
    Known {
        id: "database-refused",
        signs: &[
            Between("Can't connect to MySQL server on '", "'"),
            Between("connection to server at \"", "\""),
            Between("could not connect to server: ", ""),
            Between("Error connecting to Redis on ", "."),
            Between("Error 111 connecting to ", "."),
            Between("connect ECONNREFUSED ", ""),
            Between("MongoServerSelectionError: ", ""),
            Between("dial tcp ", ": connect: connection refused"),
        ],
        message: "nothing answers at `{}`, where the app expects a database or another service",
        hint: "check the address under `env:`, that the service runs, and that its security group lets the instance in",
    },
    Known {
        id: "connection-refused",
        signs: &[Sign("ConnectionRefusedError"), Sign("Connection refused"), Sign("connection refused")],
        message: "a service that the app needs refused the connection",
        hint: "check its address under `env:` and that it runs; `localhost` is the instance itself",
    },
    Known {
        id: "image-not-found",
        signs: &[Between("pull access denied for ", ","), Between("manifest for ", " not found"), Between("reference \"", "\": not found")],
        message: "the image `{}` can't be pulled: it is not there, or not for everyone",
        hint: "check its name and tag; a private one has to lie where the machine may read it without a login",
    },
    Known {
        id: "image-out-of-reach",
        signs: &[Between("Get \"https://", "/v2/\": ")],
        message: "the registry `{}` does not answer",
        hint: "copy the image to a registry in the region (`registry-vpc.REGION.aliyuncs.com/...`), or give the machine a way out",
    },
    Known {
        id: "name-not-found",
        signs: &[
            Between("getaddrinfo ENOTFOUND ", ""),
            Between("getaddrinfo EAI_AGAIN ", ""),
            Between("UnknownHostException: ", ""),
            Between("dial tcp: lookup ", ":"),
            Between("Could not resolve host: ", ""),
        ],
        message: "the name `{}` cannot be resolved",
        hint: "check the host's name; an instance without a public address reaches only the network it is in",
    },
    Known {
        id: "name-not-found",
        signs: &[Sign("Name or service not known"), Sign("Temporary failure in name resolution")],
        message: "a host's name cannot be resolved",
        hint: "check the host's name; an instance without a public address reaches only the network it is in",
    },
    Known {
        id: "login-refused",
        signs: &[
            Between("Access denied for user '", "'"),
            Between("password authentication failed for user \"", "\""),
            Sign("NOAUTH Authentication required"),
            Sign("invalid_api_key"),
            Sign("InvalidApiKey"),
            Sign("Incorrect API key provided"),
        ],
        message: "a service refused the credentials {}",
        hint: "check the secret that the app is given under `env:`",
    },
    Known {
        id: "permission-denied",
        signs: &[
            Between("Permission denied: '", "'"),
            Between("EACCES: permission denied, ", ""),
            Between("listen EACCES: permission denied ", ""),
            Between("PermissionError: ", ""),
        ],
        message: "the app may not use `{}`",
        hint: "let it write below its own folder, and listen on a port above 1023",
    },
    Known {
        id: "command-missing",
        signs: &[
            Between("exec: ", ": not found"),
            Between("sh: 1: ", ": not found"),
            Between("sh: ", ": command not found"),
            Between("sh: ", ": not found"),
        ],
        message: "the command `{}` is not on the machine",
        hint: "install `{}` in `install:`, or correct `start:`",
    },
    Known {
        id: "file-missing",
        signs: &[
            Between("can't open file '", "'"),
            Between("No such file or directory: '", "'"),
            Between("ENOENT: no such file or directory, open '", "'"),
            Between("Could not open input file: ", ""),
            Between("sh: 0: cannot open ", ":"),
        ],
        message: "there is no file `{}`",
        hint: "check the name, and that `.gitignore`, `.aliformignore` or the bundle's own rules do not leave `{}` at home",
    },
    Known {
        id: "permission-denied",
        signs: &[Sign("Permission denied"), Sign("permission denied"), Sign("Operation not permitted")],
        message: "the app may not use a file or a port",
        hint: "let it write below its own folder, and listen on a port above 1023",
    },
    Known {
        id: "file-missing",
        signs: &[Between("", ": No such file or directory"), Between("open ", ": no such file or directory")],
        message: "there is no file `{}`",
        hint: "check the name, and that `.gitignore`, `.aliformignore` or the bundle's own rules do not leave `{}` at home",
    },
    Known {
        id: "wrong-machine",
        signs: &[Sign("Exec format error"), Sign("cannot execute binary file")],
        message: "the program is built for another kind of processor",
        hint: "build it on the machine (`build:`), or for linux/amd64",
    },
    Known {
        id: "killed",
        signs: &[Sign("Killed"), Sign("signal: killed"), Sign("SIGKILL")],
        message: "the app was killed, most likely because memory ran out",
        hint: "take an instance with more `memory:`",
    },
];

/// The first failure of the table that `log` shows.
pub fn known_failure(log: &str) -> Option<KnownFailure> {
    KNOWN.iter().find_map(|known| {
        log.lines().find_map(|line| {
            let name = known.signs.iter().find_map(|sign| name_in(sign, line))?;
            Some(KnownFailure {
                id: known.id,
                message: filled(known.message, &name),
                line: line.trim().chars().take(300).collect(),
                hint: filled(known.hint, &name),
            })
        })
    })
}

fn filled(template: &str, name: &str) -> String {
    template.replace("{}", name).trim_end().to_owned()
}

fn name_in(sign: &Name, line: &str) -> Option<String> {
    let (start, end) = match sign {
        Sign(text) => return line.contains(text).then(String::new),
        Between(start, end) | Capitals(start, end) => (start, end),
    };
    let rest = &line[line.find(start)? + start.len()..];
    let name = if end.is_empty() { rest } else { &rest[..rest.find(end)?] };
    // What a module path or a whole command line leads to is its last word.
    let name = if start.is_empty() { name.rsplit([' ', ':']).next().unwrap_or(name) } else { name };
    let name: String = name.trim().trim_matches(['\'', '"', '`', '.']).chars().take(120).collect();
    let fits = !matches!(sign, Capitals(..)) || !name.contains(|c: char| c.is_ascii_lowercase());
    (!name.is_empty() && fits).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_named_with_the_thing_and_a_fix() {
        for (log, id, message) in [
            ("Traceback\nModuleNotFoundError: No module named 'flask'", "python-module-missing", "python module `flask` is missing"),
            ("/usr/bin/python3: No module named gunicorn", "python-module-missing", "python module `gunicorn` is missing"),
            (
                "ImportError: cannot import name 'soft_unicode' from 'markupsafe'",
                "python-import-failed",
                "`soft_unicode` cannot be imported: another version of its package is installed",
            ),
            ("Error: Cannot find module 'express'\nRequire stack:", "node-module-missing", "node module `express` is missing"),
            (
                "Error [ERR_MODULE_NOT_FOUND]: Cannot find package 'koa' imported from /x",
                "node-module-missing",
                "node module `koa` is missing",
            ),
            ("Error: listen EADDRINUSE: address already in use :::3000", "port-in-use", "the port `:::3000` is in use already"),
            ("[ERROR] Connection in use: ('0.0.0.0', 8000)", "port-in-use", "the port `('0.0.0.0', 8000)` is in use already"),
            ("OSError: [Errno 98] Address already in use", "port-in-use", "the port is in use already"),
            ("listen tcp :8080: bind: address already in use", "port-in-use", "the port `:8080` is in use already"),
            ("Web server failed to start. Port 8080 was already in use.", "port-in-use", "the port `8080` is in use already"),
            (
                "OSError: [Errno 99] Cannot assign requested address",
                "address-not-available",
                "the app wants to listen on an address that the machine does not have",
            ),
            (
                "Exception in thread main java.lang.OutOfMemoryError: Java heap space",
                "out-of-memory",
                "the machine's memory was not enough",
            ),
            ("FATAL ERROR: Reached heap limit - JavaScript heap out of memory", "out-of-memory", "the machine's memory was not enough"),
            ("Killed", "killed", "the app was killed, most likely because memory ran out"),
            ("Error: Unable to access jarfile target/app.jar", "no-such-jar", "there is no runnable jar `target/app.jar`"),
            ("no main manifest attribute, in app.jar", "no-such-jar", "there is no runnable jar `app.jar`"),
            ("PermissionError: [Errno 13] Permission denied: '/etc/x'", "permission-denied", "the app may not use `/etc/x`"),
            ("Error: listen EACCES: permission denied 0.0.0.0:80", "permission-denied", "the app may not use `0.0.0.0:80`"),
            ("KeyError: 'DATABASE_URL'", "environment-variable-missing", "the app asks for `DATABASE_URL`, which is not set"),
            (
                "aliform: the secret `API_KEY` was not delivered",
                "secret-missing",
                "the secret `API_KEY` was not there when the app started",
            ),
            (
                "TypeError: unsupported operand type(s) for |: 'type' and 'NoneType'",
                "python-too-old",
                "the project needs another python than the machine has",
            ),
            ("SyntaxError: Unexpected token '?'", "node-too-old", "the project needs a newer node than the machine has"),
            ("SyntaxError: Cannot use import statement outside a module", "esm-or-commonjs", "the code mixes `import` and `require`"),
            ("  File \"app.py\", line 3\nSyntaxError: invalid syntax", "syntax-error", "the code does not parse: invalid syntax"),
            (
                "Error: connect ECONNREFUSED 127.0.0.1:5432",
                "database-refused",
                "nothing answers at `127.0.0.1:5432`, where the app expects a database or another service",
            ),
            (
                "psycopg2.OperationalError: connection to server at \"db\" (10.0.0.3), port 5432 failed: Connection refused",
                "database-refused",
                "nothing answers at `db`, where the app expects a database or another service",
            ),
            (
                "redis.exceptions.ConnectionError: Error 111 connecting to localhost:6379. Connection refused.",
                "database-refused",
                "nothing answers at `localhost:6379`, where the app expects a database or another service",
            ),
            ("Error: getaddrinfo ENOTFOUND db.internal", "name-not-found", "the name `db.internal` cannot be resolved"),
            (
                "python3: can't open file '/opt/x/app.py': [Errno 2] No such file or directory",
                "file-missing",
                "there is no file `/opt/x/app.py`",
            ),
            ("/opt/x/run: 12: exec: gunicorn: not found", "command-missing", "the command `gunicorn` is not on the machine"),
            (
                "java.lang.UnsupportedClassVersionError: Main has been compiled",
                "java-too-old",
                "the code is built for a newer java than the machine has",
            ),
            (
                "sh: ./bin/app: cannot execute binary file: Exec format error",
                "wrong-machine",
                "the program is built for another kind of processor",
            ),
            ("write /data: No space left on device", "disk-full", "the machine's disk is full"),
            (
                "Error response from daemon: pull access denied for lab/web, repository does not exist or may require 'docker login'",
                "image-not-found",
                "the image `lab/web` can't be pulled: it is not there, or not for everyone",
            ),
            (
                "Error response from daemon: Get \"https://registry-1.docker.io/v2/\": net/http: request canceled while waiting for connection",
                "image-out-of-reach",
                "the registry `registry-1.docker.io` does not answer",
            ),
            (
                "Cannot connect to the Docker daemon at unix:///var/run/docker.sock.",
                "container-engine-missing",
                "docker does not run on the machine",
            ),
        ] {
            let failure = known_failure(log).unwrap_or_else(|| panic!("not recognised: {log}"));
            assert_eq!((failure.id, failure.message.as_str()), (id, message), "{log}");
            assert!(log.contains(&failure.line) && !failure.hint.is_empty() && !failure.hint.contains("{}"), "{failure:?}");
        }
    }

    #[test]
    fn an_ordinary_log_is_no_failure() {
        for log in [
            "",
            "INFO: Uvicorn running on http://0.0.0.0:8000\nGET /healthz 200",
            "listening on 3000\nuser not found",
            "Released 3 workers",
        ] {
            assert_eq!(known_failure(log), None, "{log}");
        }
    }

    #[test]
    fn the_hint_names_the_variable() {
        let failure = known_failure("KeyError: 'TOKEN'").unwrap();
        assert_eq!(failure.hint, "set `TOKEN` under `env:` of the app; a secret as `{ from: env:TOKEN }`");
    }
}
