//! Languages that are compiled before they run: Go, Rust, Java, .NET.

use super::source::{Source, quoted};
use super::{Found, finding};
use crate::model::finding::Severity;
use crate::model::runtime::Runtime;

pub(super) fn find_go(source: &Source) -> Option<Found> {
    let mark = source.first(&["go.mod", "main.go"])?;
    let mut found = Found::new(Runtime::Go, source.whole(mark));
    let main_in = |path: &str| source.read(path).lines().any(|line| line.trim_end() == "package main");
    let has_main = |folder: &str| {
        source
            .all(".go")
            .find(|path| path.rsplit_once('/').map_or("", |(parent, _)| parent) == folder && !path.ends_with("_test.go") && main_in(path))
    };
    // The root's program, else the only one under `cmd/`.
    let mut mains: Vec<(String, &str)> = has_main("").map(|path| (".".to_owned(), path)).into_iter().collect();
    if mains.is_empty() {
        let mut folders: Vec<&str> = source
            .all(".go")
            .filter(|path| path.starts_with("cmd/"))
            .filter_map(|path| path.rsplit_once('/'))
            .map(|(folder, _)| folder)
            .collect();
        folders.dedup();
        mains = folders.into_iter().filter_map(|folder| Some((format!("./{folder}"), has_main(folder)?))).collect();
    }
    for (_, path) in &mains {
        found.start("./bin/app", source.quote_or_whole(path, "package main"));
    }
    if let [(package, _)] = &mains[..] {
        found.build = Some(format!("go build -o bin/app {package}"));
    } else {
        // Each candidate is named by what would be built.
        for (start, (package, _)) in found.starts.iter_mut().zip(&mains) {
            start.0 = format!("go run {package}");
        }
    }
    Some(found)
}

pub(super) fn find_rust(source: &Source) -> Option<Found> {
    source.first(&["Cargo.toml"])?;
    let mut found = Found::new(Runtime::Rust, source.whole("Cargo.toml"));
    found.build = Some("cargo build --release".to_owned());
    let cargo = source.read("Cargo.toml").parse::<toml::Table>().unwrap_or_default();
    let text = |value: Option<&toml::Value>| value.and_then(toml::Value::as_str).map(str::to_owned);
    let package = cargo.get("package");
    let mut programs: Vec<(String, String)> = Vec::new();
    if let (true, Some(name)) = (source.has("src/main.rs"), text(package.and_then(|package| package.get("name")))) {
        programs.push((name, "src/main.rs".to_owned()));
    }
    for program in cargo.get("bin").and_then(toml::Value::as_array).into_iter().flatten() {
        let name = text(program.get("name"));
        let path = text(program.get("path")).unwrap_or_else(|| "Cargo.toml".to_owned());
        programs.retain(|(_, known)| *known != path);
        programs.extend(name.map(|name| (name, path)));
    }
    let others =
        source.all(".rs").filter_map(|path| Some((path.strip_prefix("src/bin/")?.trim_end_matches(".rs").trim_end_matches("/main"), path)));
    for (name, path) in others.filter(|(name, _)| !name.contains('/')) {
        if !programs.iter().any(|(known, _)| known == name) {
            programs.push((name.to_owned(), path.to_owned()));
        }
    }
    if let Some(default) = text(package.and_then(|package| package.get("default-run"))) {
        programs.retain(|(name, _)| *name == default);
    }
    for (name, path) in programs {
        found.start(format!("./target/release/{name}"), source.quote_or_whole(&path, "fn main"));
    }
    Some(found)
}

pub(super) fn find_java(source: &Source) -> Option<Found> {
    let build_file = source.first(&["pom.xml", "build.gradle.kts", "build.gradle"]);
    // A built program that comes along needs no build, which a small machine has no memory for.
    let jars: Vec<&str> = source
        .all(".jar")
        .filter(|path| !path.contains("wrapper") && !["plain", "sources", "javadoc", "original-"].iter().any(|word| path.contains(word)))
        .collect();
    let mark = build_file.or(jars.first().copied())?;
    let mut found = Found::new(Runtime::Java, source.whole(mark));
    if !jars.is_empty() {
        for jar in jars {
            found.start(format!("java -jar {jar}"), source.whole(jar));
        }
        return Some(found);
    }
    let (build, folder) = match mark {
        "pom.xml" if source.has("mvnw") => ("sh ./mvnw -q -B -DskipTests package", "target"),
        "pom.xml" => ("mvn -q -B -DskipTests package", "target"),
        _ if source.has("gradlew") => ("sh ./gradlew --no-daemon build -x test", "build/libs"),
        _ => ("gradle --no-daemon build -x test", "build/libs"),
    };
    found.build = Some(build.to_owned());
    let evidence = match mark {
        "pom.xml" => source.quote_or_whole(mark, "spring-boot-maven-plugin"),
        _ => source.quote_or_whole(mark, "plugins"),
    };
    found.start(format!("run_jar {folder}"), evidence);
    found.findings.push(finding(
        "java-builds-on-the-machine",
        Severity::Info,
        format!("`{build}` runs on the instance and needs about 2 GiB of memory"),
        Some(source.whole(mark)),
        "on an instance under 4 GiB, build the jar yourself and let the bundle carry it",
    ));
    Some(found)
}

pub(super) fn find_dotnet(source: &Source) -> Option<Found> {
    let projects: Vec<&str> = source.all(".csproj").chain(source.all(".fsproj")).collect();
    let mark = source.in_root(".sln").next().or(projects.first().copied())?;
    let mut found = Found::new(Runtime::Dotnet, source.whole(mark));
    // A library or a test has nothing to start.
    let web = |line: &str| line.contains("Microsoft.NET.Sdk.Web") || line.contains("<OutputType>Exe");
    let mut programs = Vec::new();
    for path in projects {
        if let Some((number, line)) = source.read(path).lines().enumerate().find(|(_, line)| web(line)) {
            programs.push((path, quoted(path, number, line)));
        }
    }
    if let [(path, _)] = &programs[..] {
        found.build = Some(format!("dotnet publish {path} -c Release -o bin/published"));
    }
    for (path, evidence) in programs {
        let name = path.rsplit('/').next().unwrap_or(path);
        let name = name.trim_end_matches(".csproj").trim_end_matches(".fsproj");
        found.start(format!("dotnet bin/published/{name}.dll"), evidence);
    }
    Some(found)
}
