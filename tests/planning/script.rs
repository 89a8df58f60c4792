//! Scripts that are stopped before anything is created, and what is said of those that are not.

use aliform::model::finding::Severity;
use aliform::resolve::error::ResolveError;

use crate::stage::Stage;

fn stage(job: &str, files: &[(&str, &str)]) -> Stage {
    let stage = Stage::new(&format!("version: 1\nstack: lab\nregion: cn-hangzhou\njobs:\n  work:\n{job}"));
    files.iter().for_each(|(name, text)| stage.write(name, text));
    stage
}

/// The complaints, `code file:line`.
fn complaints(job: &str, files: &[(&str, &str)]) -> Vec<String> {
    match stage(job, files).try_resolve() {
        Err(ResolveError::Scripts(complaints)) => complaints
            .iter()
            .map(|complaint| {
                let place = complaint.location.as_ref().unwrap();
                assert!(!complaint.hints.is_empty(), "{complaint:?}");
                format!("{} {}:{}", complaint.code, place.file, place.line)
            })
            .collect(),
        Err(error) => panic!("{error}"),
        Ok(_) => Vec::new(),
    }
}

#[test]
fn what_can_not_run_is_stopped_with_its_place() {
    const SCRIPT: &str = "    script: work.py\n";
    const SHELL: &str = "    script: work.sh\n";
    for (job, files, expected) in [
        (SCRIPT, &[("work.py", "")][..], "script-empty work.py:1"),
        (SCRIPT, &[("work.py", "\n  \n")], "script-empty work.py:1"),
        (SCRIPT, &[("work.py", "#!/usr/bin/env python3\n# TODO: everything\n")], "script-does-nothing work.py:2"),
        (SCRIPT, &[("work.py", "def main():\n    pass\n\nmain()\n")], "script-does-nothing work.py:1"),
        (SHELL, &[("work.sh", "#!/bin/bash\nset -e\n# later\n")], "script-does-nothing work.sh:2"),
        (SHELL, &[("work.sh", "echo 1\napt-get install -y jq\n")], "wrong-package-manager work.sh:2"),
        (SHELL, &[("work.sh", "sh lib/deep.sh\n"), ("lib/deep.sh", "\nsudo apt update\n")], "wrong-package-manager lib/deep.sh:2"),
        (SCRIPT, &[("work.py", "import os\nos.system('apt-get install -y ffmpeg')\n")], "wrong-package-manager work.py:2"),
        ("    run: |\n      # later\n", &[], "script-does-nothing aliform.yaml:7"),
        ("    run: python3 train.py --epochs 3\n", &[], "script-missing aliform.yaml:6"),
        ("    run: python3 train.py\n", &[("train.py", "pass\n")], "script-does-nothing train.py:1"),
    ] {
        assert_eq!(complaints(job, files), [expected], "{job}{files:?}");
    }
    let fine = [
        (SHELL, &[("work.sh", "if command -v apt-get; then apt-get install -y jq; else yum install -y jq; fi\n")][..]),
        (SHELL, &[("work.sh", "dnf install -y jq\n")]),
        ("    run: git clone https://gitee.com/a/b && cd b && python3 train.py\n", &[]),
        (SCRIPT, &[("work.py", "print(1)\n")]),
    ];
    for (job, files) in fine {
        assert_eq!(complaints(job, files), Vec::<String>::new(), "{job}{files:?}");
    }
}

#[test]
fn an_application_installs_with_what_its_image_has() {
    let manifest = |image: &str| {
        format!(
            "version: 1\nstack: shop\nregion: cn-hangzhou\napps:\n  web:\n    source: web\n    port: 80\n    build: apt-get install -y jq\n{image}"
        )
    };
    assert!(Stage::new(&manifest("")).refusal().starts_with("`apt-get` is not on the image `acs:alibaba_cloud_linux_3"));
    Stage::new(&manifest("    os: acs:ubuntu_24_04_x64\n")).resolve();
}

#[test]
fn what_a_person_should_know_has_its_place() {
    let found = |text: &str, more: &[(&str, &str)]| {
        let stage = stage("    script: work.py\n", more);
        stage.write("work.py", text);
        let findings = stage.plan().findings.into_iter().filter(|finding| finding.evidence.as_ref().is_some_and(|it| it.file == "work.py"));
        findings.map(|finding| format!("{} {} {:?}", finding.id, finding.evidence.unwrap().line, finding.severity)).collect::<Vec<_>>()
    };
    let torch = [("requirements.txt", "torch\n")];
    assert_eq!(found("import os\nimport torch\nprint(torch)\n", &torch), [format!("no-training-entry 2 {:?}", Severity::High)]);
    assert_eq!(found("import torch\nloss.backward()\n", &torch), [""; 0]);
    assert_eq!(found("import os\nimport pandas\nprint(pandas)\n", &[]), [format!("missing-dependency 2 {:?}", Severity::Warning)]);
    assert_eq!(found("import helper\nhelper.go()\n", &[("helper.py", "def go(): print(1)\n")]), [""; 0]);
}
