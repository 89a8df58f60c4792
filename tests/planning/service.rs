//! Applications without a source: what they become, where they run, and what of them is refused.

use aliform::resolve::error::ResolveError;

use crate::stage::{Stage, Type, actions, address, change};

const SERVER: &str = "import http.server\nimport helper\nhttp.server.HTTPServer(('', 8080), helper.Handler).serve_forever()\n";

fn service(region: &str, lines: &str, files: &[(&str, &str)]) -> Stage {
    let lines: String = lines.lines().map(|line| format!("    {line}\n")).collect();
    let mut stage = Stage::new(&format!("version: 1\nstack: shop\nregion: {region}\napps:\n  api:\n{lines}"));
    stage.lookup.types.push(Type("ecs.x.large", 2, 4, "X86", Some("0.2"), vec!["ap-southeast-1a"]));
    files.iter().for_each(|(name, text)| stage.write(name, text));
    stage
}

fn script(lines: &str, text: &str) -> Stage {
    let helper = "import http.server\nclass Handler(http.server.BaseHTTPRequestHandler):\n    pass\n";
    service("cn-hangzhou", &format!("script: serve.py\nport: 8080\n{lines}"), &[("serve.py", text), ("helper.py", helper)])
}

/// The files that go to the machine.
fn files(stage: &Stage) -> Vec<String> {
    stage.plan().wanted[&address("bundle.api")].spec["files"].as_object().unwrap().keys().cloned().collect()
}

fn release(stage: &Stage, field: &str) -> String {
    stage.plan().wanted[&address("release.api-1")].spec[field].as_str().unwrap().to_owned()
}

#[test]
fn a_script_goes_along_with_what_it_needs_and_nothing_else() {
    let stage = script("", SERVER);
    assert_eq!(files(&stage), ["helper.py", "serve.py"]);
    assert!(release(&stage, "start_script").contains("exec python3 './serve.py'"));

    stage.write("requirements.txt", "-r more.txt\nflask\n");
    stage.write("more.txt", "requests\n");
    stage.write("shapes/__init__.py", "from .round import circle\n");
    stage.write("shapes/round.py", "circle = 1\n");
    stage.write("serve.py", &format!("import shapes\n{SERVER}"));
    assert_eq!(files(&stage), ["helper.py", "more.txt", "requirements.txt", "serve.py", "shapes/__init__.py", "shapes/round.py"]);
    assert!(release(&stage, "start_script").contains("step install"));

    let commands = service("cn-hangzhou", "run: |\n  ./run.sh &\n  exec node web.js", &[("run.sh", "echo 1\n"), ("web.js", "serve()\n")]);
    assert_eq!(files(&commands), ["_run.sh", "run.sh", "web.js"]);
    let start = release(&commands, "start_script");
    assert!(start.contains("exec sh ./_run.sh") && start.contains("(node)"), "{start}");
}

#[test]
fn an_edit_of_the_script_changes_the_release_and_nothing_else() {
    let mut stage = script("", SERVER);
    stage.applied();
    assert_eq!(actions(&stage.plan()), Vec::<String>::new());
    // What the script does not use is not its matter.
    stage.write("other.py", "print(1)\n");
    assert_eq!(actions(&stage.plan()), Vec::<String>::new());
    stage.write("helper.py", "class Handler:\n    pass\n");
    assert_eq!(actions(&stage.plan()), ["update bundle.api", "update release.api-1"]);

    let mut stage = service("cn-hangzhou", "run: sleep 60", &[]);
    stage.applied();
    let manifest = "version: 1\nstack: shop\nregion: cn-hangzhou\napps:\n  api:\n    run: sleep 61\n";
    stage.manifest(manifest);
    assert_eq!(actions(&stage.plan()), ["update bundle.api", "update release.api-1"]);
    // Another version is another release, so there is a way back.
    assert!(change(&stage.plan(), "release.api-1").fields.iter().any(|field| field.path == "digest"));
}

#[test]
fn an_image_becomes_a_container_with_a_release_of_its_own() {
    let image = "registry-vpc.cn-hangzhou.aliyuncs.com/lab/web";
    let lines = |tag: &str| {
        format!("image: {image}:{tag}\nport: 8080\ncontainer_port: 80\nstart: serve --verbose\nenv: {{ A: b, KEY: {{ from: env:KEY }} }}")
    };
    let mut stage = service("cn-hangzhou", &lines("1"), &[]);
    let start = release(&stage, "start_script");
    assert!(start.contains(&format!("step build 'docker pull '\\''{image}:1'\\'''")), "{start}");
    assert!(start.contains(&format!("run_image '{image}:1' '80' serve --verbose\n")), "{start}");
    assert!(start.contains("CONTAINER_ENV='--env A --env KEY'"), "{start}");
    let plan = stage.plan();
    assert!(plan.findings.iter().all(|finding| !finding.id.starts_with("image-")), "{:?}", plan.findings);
    // It lies inside the cloud's own network, so nothing needs a way out.
    assert_eq!(plan.wanted[&address("instance.api-1")].spec["bandwidth"], 0);
    stage.applied();
    let manifest = std::fs::read_to_string(stage.path("aliform.yaml")).unwrap().replace("web:1", "web:2");
    stage.manifest(&manifest);
    assert_eq!(actions(&stage.plan()), ["update bundle.api", "update release.api-1"]);
}

#[test]
fn the_region_follows_from_the_script_and_from_the_image() {
    let region = |lines: &str, files: &[(&str, &str)]| {
        let plan = service("auto", lines, files).plan();
        (plan.region.clone(), plan.decisions["region"].because.clone())
    };
    let model = "from transformers import AutoModel\nserve(AutoModel.from_pretrained('bert-base'))\n";
    for (lines, files, expected, because) in [
        ("image: nginx:1.27\nport: 80", &[][..], "ap-southeast-1", "`docker pull 'nginx:1.27'` (aliform.yaml:6)"),
        ("image: ghcr.io/me/web:1", &[], "ap-southeast-1", "(aliform.yaml:6)"),
        ("image: registry.cn-hangzhou.aliyuncs.com/lab/web:1", &[], "cn-hangzhou", "nothing is fetched"),
        ("script: a.sh", &[("a.sh", "curl -O https://github.com/a/b\nsleep 60\n")], "ap-southeast-1", "(a.sh:1)"),
        (
            "script: a.py",
            &[("a.py", model), ("requirements.txt", "-i https://mirrors.aliyun.com/pypi/simple\n")],
            "ap-southeast-1",
            "(a.py:2)",
        ),
        ("script: a.sh\nbuild: pip install flask", &[("a.sh", "sleep 60\n")], "ap-southeast-1", "(aliform.yaml:7)"),
        ("run: |\n  sleep 60", &[], "cn-hangzhou", "nothing is fetched"),
    ] {
        let (region, why) = region(lines, files);
        assert!(region == expected && why.contains(because), "{lines}: {region}, {why}");
    }
}

#[test]
fn an_image_that_is_hard_to_have_is_found() {
    let found = |region: &str, lines: &str| -> Vec<String> {
        let findings = service(region, lines, &[]).plan().findings;
        findings.into_iter().filter(|finding| finding.id.starts_with("image-")).map(|finding| finding.id).collect()
    };
    assert_eq!(found("cn-hangzhou", "image: ghcr.io/me/web:1"), ["image-hard-to-pull"]);
    assert_eq!(found("cn-hangzhou", "image: nginx"), ["image-hard-to-pull", "image-without-version"]);
    assert_eq!(found("auto", "image: quay.io/me/web:latest"), ["image-without-version"]);
    assert_eq!(found("auto", "image: localhost:5000/web@sha256:00"), [""; 0]);
    let open = |lines: &str| service("auto", lines, &[]).plan().wanted[&address("instance.api-1")].spec["bandwidth"].clone();
    // Nobody may come in, and it has to get out.
    assert_eq!(open("image: nginx:1.27"), 50);
    assert_eq!(open("image: nginx:1.27\nport: 80\npublic: { bandwidth: 5Mbps }"), 5);
}

#[test]
fn what_can_not_stay_is_refused_with_its_place() {
    let complaints = |lines: &str, files: &[(&str, &str)]| match service("cn-hangzhou", lines, files).try_resolve() {
        Err(ResolveError::Scripts(complaints)) => {
            let place = |at: &aliform::model::diagnostic::Diagnostic| at.location.as_ref().map(|at| format!("{}:{}", at.file, at.line));
            complaints.iter().map(|complaint| format!("{} {}", complaint.code, place(complaint).unwrap())).collect()
        }
        Err(error) => panic!("{error}"),
        Ok(_) => Vec::<String>::new(),
    };
    for (lines, files, expected) in [
        ("script: serve.py", &[("serve.py", "")][..], "script-empty serve.py:1"),
        ("script: serve.py", &[("serve.py", "# later\n")], "script-does-nothing serve.py:1"),
        ("script: serve.sh", &[("serve.sh", "#!/bin/sh\n\n# TODO\n")], "script-does-nothing serve.sh:3"),
        ("script: serve.sh", &[("serve.sh", "apt-get install -y jq\nsleep 60\n")], "wrong-package-manager serve.sh:1"),
        ("run: |\n  # later", &[], "script-does-nothing aliform.yaml:7"),
        ("run: python3 lost.py", &[], "script-missing aliform.yaml:6"),
    ] {
        assert_eq!(complaints(lines, files), [expected], "{lines}");
    }
    let refusal = service("auto", "image: nginx:1.27\npublic: {}", &[]).refusal();
    assert!(refusal.starts_with("nothing says on which port the image `nginx:1.27` is to be reached"), "{refusal}");
    // A script that serves a model trains nothing, and need not.
    let stage = service("cn-hangzhou", "script: a.py", &[("a.py", "import torch\ntorch.serve()\n")]);
    let ids: Vec<String> = stage.plan().findings.into_iter().map(|finding| finding.id).collect();
    assert_eq!(ids.iter().filter(|id| id.contains("training") || id.contains("dependency")).collect::<Vec<_>>(), ["missing-dependency"]);
}
