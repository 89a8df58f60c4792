//! What detection says of projects of every kind, and that it says nothing when the files do not.

use std::fs;
use std::path::Path;

use aliform::model::runtime::Runtime;
use aliform::project::bundle::pack;
use aliform::project::detect::{DetectError, Detection, detect};

type Files<'a> = &'a [(&'a str, &'a str)];

fn folder(files: Files) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let full = folder.path().join(path);
        fs::create_dir_all(full.parent().unwrap()).unwrap();
        fs::write(full, text).unwrap();
    }
    folder
}

fn found(files: Files) -> Detection {
    let folder = folder(files);
    detect(folder.path(), None).unwrap_or_else(|error| panic!("{files:?}: {error}"))
}

fn refused(files: Files) -> DetectError {
    let folder = folder(files);
    match detect(folder.path(), None) {
        Err(error) => error,
        Ok(detection) => panic!("{files:?}: {detection:?}"),
    }
}

/// Files, and the runtime, install, build, start and port that follow from them.
struct Row {
    files: Files<'static>,
    runtime: Runtime,
    install: Option<&'static str>,
    build: Option<&'static str>,
    start: &'static str,
    port: u16,
}

const RAILS: &str = "module Shop\n  class Application < Rails::Application\n";
const MAIN: &str = "if __name__ == '__main__':\n    run()\n";

#[test]
fn every_language_is_found_by_its_files() {
    let gunicorn = "gunicorn app:app --bind \"0.0.0.0:$PORT\"";
    let rows = [
        Row {
            files: &[("requirements.txt", "Flask==3.0\n"), ("app.py", "from flask import Flask\napp = Flask(__name__)\n")],
            runtime: Runtime::Python,
            install: Some("pip install -r requirements.txt gunicorn"),
            build: None,
            start: gunicorn,
            port: 8000,
        },
        Row {
            files: &[("requirements.txt", "flask\ngunicorn\n"), ("app.py", "app = Flask(__name__)\n"), ("main.py", MAIN)],
            runtime: Runtime::Python,
            install: Some("pip install -r requirements.txt"),
            build: None,
            start: gunicorn,
            port: 8000,
        },
        Row {
            files: &[
                ("pyproject.toml", "[project]\nname='x'\ndependencies=['fastapi']\n"),
                ("uv.lock", ""),
                ("api/main.py", "api: FastAPI = fastapi.FastAPI()\n"),
            ],
            runtime: Runtime::Python,
            install: Some("pip install uv && uv sync --frozen --no-dev && uv pip install uvicorn"),
            build: None,
            start: "uvicorn api.main:api --host 0.0.0.0 --port \"$PORT\"",
            port: 8000,
        },
        Row {
            files: &[
                ("requirements.txt", "django\ngunicorn\n"),
                ("manage.py", "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'shop.settings')\n"),
                ("shop/wsgi.py", "application = get_wsgi_application()\n"),
                ("package.json", r#"{"devDependencies":{"tailwindcss":"3"}}"#),
            ],
            runtime: Runtime::Python,
            install: Some("pip install -r requirements.txt"),
            build: None,
            start: "gunicorn shop.wsgi:application --bind \"0.0.0.0:$PORT\"",
            port: 8000,
        },
        Row {
            files: &[(
                "pyproject.toml",
                "[project]\nname = 'shop'\n[project.scripts]\nshop = 'shop.cli:main'\nshop-admin = 'shop.admin:main'\n",
            )],
            runtime: Runtime::Python,
            install: Some("pip install ."),
            build: None,
            start: "shop",
            port: 8000,
        },
        Row {
            files: &[("poetry.lock", ""), ("pyproject.toml", "[tool.poetry.dependencies]\nhttpx='*'\n"), ("main.py", MAIN)],
            runtime: Runtime::Python,
            install: Some("pip install poetry && poetry install --only main --no-interaction"),
            build: None,
            start: "python3 main.py",
            port: 8000,
        },
        Row {
            files: &[("main.py", MAIN), ("app.py", "def helper():\n    return 1\n")],
            runtime: Runtime::Python,
            install: None,
            build: None,
            start: "python3 main.py",
            port: 8000,
        },
        Row {
            files: &[("Pipfile", ""), ("Pipfile.lock", "{}"), ("server.py", "serve()\n")],
            runtime: Runtime::Python,
            install: Some("pip install pipenv && pipenv sync"),
            build: None,
            start: "python3 server.py",
            port: 8000,
        },
        Row {
            files: &[("package.json", r#"{"scripts":{"start":"node server.js"}}"#), ("server.js", "")],
            runtime: Runtime::Node,
            install: None,
            build: None,
            start: "node server.js",
            port: 3000,
        },
        Row {
            files: &[
                ("package.json", r#"{"scripts":{"start":"next start","build":"next build"},"dependencies":{"next":"15"}}"#),
                ("package-lock.json", "{}"),
            ],
            runtime: Runtime::Node,
            install: Some("npm ci --include=dev --no-audit --no-fund"),
            build: Some("npm run build"),
            start: "npm start",
            port: 3000,
        },
        Row {
            files: &[
                ("package.json", r#"{"packageManager":"pnpm@9.1.0+sha256.aa","main":"./lib/web","dependencies":{"koa":"2"}}"#),
                ("lib/web.js", ""),
                ("yarn.lock", ""),
            ],
            runtime: Runtime::Node,
            install: Some("npx --yes pnpm@9.1.0 install --frozen-lockfile --prod=true"),
            build: None,
            start: "node lib/web.js",
            port: 3000,
        },
        Row {
            files: &[("package.json", r#"{"dependencies":{"koa":"2"}}"#), ("yarn.lock", "# yarn lockfile v1"), ("index.js", "")],
            runtime: Runtime::Node,
            install: Some("npx --yes yarn@1.22.22 install --frozen-lockfile --production=true"),
            build: None,
            start: "node index.js",
            port: 3000,
        },
        Row {
            files: &[
                ("package.json", r#"{"scripts":{"build":"vite build"},"devDependencies":{"vite":"6"}}"#),
                ("package-lock.json", "{}"),
                ("index.html", ""),
            ],
            runtime: Runtime::Node,
            install: Some("npm ci --include=dev --no-audit --no-fund"),
            build: Some("npm run build"),
            start: "serve dist",
            port: 3000,
        },
        Row {
            files: &[("go.mod", "module x\n"), ("main.go", "package main\n"), ("gen.py", "print(1)\n")],
            runtime: Runtime::Go,
            install: None,
            build: Some("go build -o bin/app ."),
            start: "./bin/app",
            port: 8080,
        },
        Row {
            files: &[("go.mod", "module x\n"), ("lib.go", "package x\n"), ("cmd/web/main.go", "package main\n")],
            runtime: Runtime::Go,
            install: None,
            build: Some("go build -o bin/app ./cmd/web"),
            start: "./bin/app",
            port: 8080,
        },
        Row {
            files: &[("Cargo.toml", "[package]\nname = 'shop'\n"), ("src/main.rs", "fn main() {}\n")],
            runtime: Runtime::Rust,
            install: None,
            build: Some("cargo build --release"),
            start: "./target/release/shop",
            port: 8080,
        },
        Row {
            files: &[
                ("Cargo.toml", "[package]\nname = 'shop'\ndefault-run = 'web'\n"),
                ("src/main.rs", "fn main() {}\n"),
                ("src/bin/web.rs", "fn main() {}\n"),
            ],
            runtime: Runtime::Rust,
            install: None,
            build: Some("cargo build --release"),
            start: "./target/release/web",
            port: 8080,
        },
        Row {
            files: &[("pom.xml", "<project/>"), ("mvnw", "")],
            runtime: Runtime::Java,
            install: None,
            build: Some("sh ./mvnw -q -B -DskipTests package"),
            start: "run_jar target",
            port: 8080,
        },
        Row {
            files: &[("build.gradle.kts", "plugins {}")],
            runtime: Runtime::Java,
            install: None,
            build: Some("gradle --no-daemon build -x test"),
            start: "run_jar build/libs",
            port: 8080,
        },
        Row {
            files: &[("app.jar", "x"), ("app-plain.jar", "x")],
            runtime: Runtime::Java,
            install: None,
            build: None,
            start: "java -jar app.jar",
            port: 8080,
        },
        Row {
            files: &[
                ("Gemfile", "gem 'rails'\n"),
                ("config/application.rb", RAILS),
                ("package.json", r#"{"scripts":{"start":"node x.js"}}"#),
            ],
            runtime: Runtime::Ruby,
            install: Some(
                "bundle config set --local path vendor/bundle && bundle config set --local without development:test && bundle install",
            ),
            build: None,
            start: "bundle exec rails server -b 0.0.0.0 -p \"$PORT\" -e production",
            port: 3000,
        },
        Row {
            files: &[("config.ru", "run App")],
            runtime: Runtime::Ruby,
            install: None,
            build: None,
            start: "rackup --host 0.0.0.0 --port \"$PORT\" -E production",
            port: 3000,
        },
        Row {
            files: &[
                ("composer.json", r#"{"require":{"laravel/framework":"11"}}"#),
                ("artisan", ""),
                ("public/index.php", ""),
                ("package.json", r#"{"scripts":{"start":"vite"}}"#),
            ],
            runtime: Runtime::Php,
            install: Some("composer install --no-dev --optimize-autoloader --no-interaction"),
            build: None,
            start: "serve_php public",
            port: 8080,
        },
        Row { files: &[("index.php", "<?php")], runtime: Runtime::Php, install: None, build: None, start: "serve_php .", port: 8080 },
        Row {
            files: &[
                ("shop.sln", ""),
                ("web/Shop.Web.csproj", "<Project Sdk=\"Microsoft.NET.Sdk.Web\">"),
                ("lib/Shop.csproj", "<Project Sdk=\"Microsoft.NET.Sdk\">"),
            ],
            runtime: Runtime::Dotnet,
            install: None,
            build: Some("dotnet publish web/Shop.Web.csproj -c Release -o bin/published"),
            start: "dotnet bin/published/Shop.Web.dll",
            port: 8080,
        },
        Row {
            files: &[("index.html", ""), ("style.css", "")],
            runtime: Runtime::Static,
            install: None,
            build: None,
            start: "serve .",
            port: 8080,
        },
        Row {
            files: &[("public/index.html", ""), ("package.json", r#"{"devDependencies":{"prettier":"3"}}"#)],
            runtime: Runtime::Static,
            install: None,
            build: None,
            start: "serve public",
            port: 8080,
        },
        Row {
            files: &[
                ("compose.yaml", "services:\n  web:\n    image: nginx\n    ports:\n      - \"9000:80\"\n"),
                ("Dockerfile", "FROM x\n"),
            ],
            runtime: Runtime::Docker,
            install: None,
            build: Some("docker compose build"),
            start: "docker compose up",
            port: 9000,
        },
        Row {
            files: &[("Dockerfile", "FROM alpine\nexpose 5000/tcp\n")],
            runtime: Runtime::Docker,
            install: None,
            build: Some("docker build -t \"$COMPOSE_PROJECT_NAME\" ."),
            start: "docker run --rm --init --name \"$COMPOSE_PROJECT_NAME\" $CONTAINER_ENV -e PORT=5000 -p \"$PORT:5000\" \"$COMPOSE_PROJECT_NAME\"",
            port: 5000,
        },
        Row {
            files: &[("Dockerfile", "FROM python\n"), ("main.py", MAIN)],
            runtime: Runtime::Python,
            install: None,
            build: None,
            start: "python3 main.py",
            port: 8000,
        },
        Row {
            files: &[("main.py", MAIN), ("server.py", MAIN), ("Procfile", "worker: x\nweb: python3 server.py --all\n")],
            runtime: Runtime::Python,
            install: None,
            build: None,
            start: "python3 server.py --all",
            port: 8000,
        },
    ];
    for row in rows {
        let detection = found(row.files);
        let Detection { runtime, install, build, start, port, evidence, .. } = &detection;
        assert_eq!(
            (*runtime, install.as_deref(), build.as_deref(), start.as_str(), *port),
            (row.runtime, row.install, row.build, row.start, row.port),
            "{:?}",
            row.files
        );
        assert!(!evidence.is_empty(), "{:?}", row.files);
        for evidence in evidence.iter().filter(|evidence| evidence.line > 0) {
            let text = row.files.iter().find(|(path, _)| *path == evidence.file).unwrap().1;
            assert_eq!(text.lines().nth(evidence.line as usize - 1).unwrap().trim(), evidence.text, "{:?}", row.files);
        }
    }
}

#[test]
fn two_answers_are_an_error_that_names_both() {
    let rows: [(Files, &[&str]); 5] = [
        (&[("main.py", MAIN), ("app.py", MAIN)], &["`python3 main.py` (main.py:1)", "`python3 app.py` (app.py:1)", "set `start:`"]),
        (
            &[("requirements.txt", "flask"), ("a.py", "app = Flask(__name__)"), ("b.py", "web = Flask(__name__)")],
            &["gunicorn a:app", "gunicorn b:web"],
        ),
        (
            &[("main.py", MAIN), ("package.json", r#"{"scripts":{"start":"node x.js"}}"#)],
            &["python by `python3 main.py`", "node by `node x.js`", "set `runtime:`"],
        ),
        (
            &[("go.mod", "module x"), ("cmd/a/main.go", "package main\n"), ("cmd/b/main.go", "package main\n")],
            &["go run ./cmd/a", "go run ./cmd/b"],
        ),
        (&[("Cargo.toml", "[package]\nname='x'"), ("src/bin/a.rs", ""), ("src/bin/b.rs", "")], &["release/a`", "release/b`"]),
    ];
    for (files, parts) in rows {
        let error = refused(files).to_string();
        for part in parts {
            assert!(error.contains(part), "{error}");
        }
    }
}

#[test]
fn nothing_to_run_says_what_to_set() {
    assert!(matches!(refused(&[("notes.txt", "")]), DetectError::Nothing { .. }));
    let error = refused(&[("requirements.txt", "numpy\n"), ("lib.py", "def f():\n    pass\n")]);
    assert!(matches!(error, DetectError::NoEntry { runtime: Runtime::Python, .. }), "{error}");
    let error = refused(&[("package.json", r#"{"scripts":{"build":"tsc"}}"#), ("index.html", "")]);
    assert!(
        matches!(error, DetectError::NoEntry { runtime: Runtime::Node, .. }),
        "a page that has to be built is not served unbuilt: {error}"
    );
    let here = folder(&[("main.py", MAIN)]);
    assert!(matches!(detect(here.path(), Some(Runtime::Go)), Err(DetectError::NotThat { wanted: Runtime::Go, .. })));
    assert!(matches!(detect(&here.path().join("none"), None), Err(DetectError::NoFolder(_))));
}

#[test]
fn a_named_runtime_decides_between_languages() {
    let both = folder(&[("main.py", MAIN), ("package.json", r#"{"scripts":{"start":"node x.js"}}"#), ("Dockerfile", "FROM x")]);
    for (runtime, start) in [(Runtime::Python, "python3 main.py"), (Runtime::Node, "node x.js")] {
        assert_eq!(detect(both.path(), Some(runtime)).unwrap().start, start);
    }
    assert_eq!(detect(both.path(), Some(Runtime::Docker)).unwrap().runtime, Runtime::Docker);
}

#[test]
fn the_readme_breaks_a_tie_and_is_quoted_when_it_disagrees() {
    let told = found(&[("main.py", MAIN), ("app.py", MAIN), ("README.md", "Run it:\n\n```sh\npip install x\n$ python app.py\n```\n")]);
    assert_eq!(told.start, "python3 app.py");
    assert!(told.evidence.iter().any(|evidence| evidence.file == "README.md" && evidence.line == 5), "{:?}", told.evidence);

    let differs = found(&[("main.py", MAIN), ("README.md", "```\npython run.py\n```\n")]);
    assert_eq!(differs.start, "python3 main.py");
    let finding = differs.findings.iter().find(|finding| finding.id == "readme-disagrees").unwrap();
    assert_eq!(finding.evidence.as_ref().map(|evidence| (evidence.line, evidence.text.as_str())), Some((2, "python run.py")));

    let agrees = found(&[("requirements.txt", "flask"), ("app.py", "app = Flask(__name__)"), ("README.md", "```\npython app.py\n```\n")]);
    assert!(agrees.findings.is_empty(), "{:?}", agrees.findings);
}

#[test]
fn agentscope_makes_an_agent() {
    let rows: [Files; 4] = [
        (&[("requirements.txt", "agentscope>=1.0\n"), ("main.py", MAIN)]),
        (&[("requirements.txt", "agentscope_runtime[full]\n"), ("main.py", MAIN)]),
        (&[("pyproject.toml", "[project]\nname='x'\ndependencies = [\n  'agentscope',\n]\n"), ("main.py", MAIN)]),
        (&[("Pipfile", "[packages]\nagentscope = '*'\n"), ("main.py", MAIN)]),
    ];
    for files in rows {
        let detection = found(files);
        assert!(detection.agent, "{files:?}");
        assert!(detection.evidence.iter().any(|evidence| evidence.text.contains("agentscope")), "{:?}", detection.evidence);
    }
    assert!(!found(&[("requirements.txt", "# agentscope\nflask\n"), ("main.py", MAIN)]).agent);
}

#[test]
fn ignored_files_are_not_looked_at() {
    let detection = found(&[("main.py", MAIN), ("app.py", MAIN), (".aliformignore", "app.py\n")]);
    assert_eq!(detection.start, "python3 main.py");
}

#[test]
fn images_that_the_mainland_cannot_pull_are_found() {
    let detection =
        found(&[("compose.yml", "services:\n  a:\n    image: ghcr.io/x/y:1\n  b:\n    image: nginx@sha256:00\n  c:\n    image: nginx\n")]);
    let lines: Vec<u32> = detection.findings.iter().map(|finding| finding.evidence.as_ref().unwrap().line).collect();
    assert_eq!(lines, [3, 5]);
}

#[test]
fn the_examples_are_what_they_look_like() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    for (name, runtime, start) in [
        ("hello-web", Runtime::Python, "python3 app.py"),
        ("hello-node", Runtime::Node, "node server.js"),
        ("static-site", Runtime::Static, "serve ."),
    ] {
        let detection = detect(&examples.join(name), None).unwrap();
        assert_eq!(
            (detection.runtime, detection.start.as_str(), detection.install, detection.findings.len()),
            (runtime, start, None, 0),
            "{name}"
        );
        let bundle = pack(&examples.join(name)).unwrap();
        assert!(bundle.findings.is_empty() && bundle.files.iter().all(|file| file.path != "aliform.yaml"), "{name}");
    }
}
