//! In which region a job runs, by what its script fetches: a table of scripts with the region and the evidence.

use crate::stage::{Stage, Type};

/// A script with the files beside it, further lines of the job, and the place that sends it overseas, if one does.
struct Case {
    script: (&'static str, &'static str),
    files: &'static [(&'static str, &'static str)],
    job: &'static str,
    evidence: Option<&'static str>,
}

fn case(file: &'static str, text: &'static str, evidence: Option<&'static str>) -> Case {
    Case { script: (file, text), files: &[], job: "", evidence }
}

fn with(files: &'static [(&'static str, &'static str)], case: Case) -> Case {
    Case { files, ..case }
}

fn given(job: &'static str, case: Case) -> Case {
    Case { job, ..case }
}

fn cases() -> Vec<Case> {
    const TORCH: (&str, &str) = ("requirements.txt", "# what it needs\nrequests==2\n");
    const BERT: &str = "from transformers import AutoModel\nNAME = 'bert-base'\nmodel = AutoModel.from_pretrained(NAME)\nmodel.train()\n";
    vec![
        // Nothing is fetched.
        case("a.sh", "#!/bin/sh\necho hello\n", None),
        case("a.sh", "# pip install torch\necho \"pip install torch\" # git clone https://github.com/a/b\n", None),
        // Package managers.
        case("a.sh", "set -e\npip install torch\n", Some("`pip install torch` (a.sh:2)")),
        case("a.sh", "python3 -m pip install --quiet torch && python3 x\n", Some("(a.sh:1)")),
        case("a.sh", "npm ci\n", Some("`npm ci` (a.sh:1)")),
        case("a.sh", "echo 1\nyum install -y jq\n", Some("(a.sh:2)")),
        case("a.sh", "if true; then\n  go build ./...\nfi\n", Some("`go build ./...` (a.sh:2)")),
        case("a.sh", "cargo build --release\n", Some("(a.sh:1)")),
        case("a.sh", "gem install rake\n", Some("(a.sh:1)")),
        case("a.sh", "composer install --no-dev\n", Some("(a.sh:1)")),
        case("a.sh", "conda install -y numpy\n", Some("(a.sh:1)")),
        case("a.sh", "pip install --no-index --find-links wheels torch\n", None),
        case("a.sh", "npm run build\ngo version\ncargo --version\ngit status\n", None),
        case("a.sh", "bash -c 'set -e; pip install torch'\n", Some("(a.sh:1)")),
        case("a.py", "import subprocess\nsubprocess.run(['pip', 'install', 'torch'])\n", Some("(a.py:2)")),
        case("a.py", "print('pip install torch')\n", None),
        // The list that is installed before the script runs.
        with(&[TORCH], case("a.py", "print(1)\n", Some("`pip install -r requirements.txt` (requirements.txt:2)"))),
        with(&[("requirements.txt", "# nothing\n")], case("a.py", "print(1)\n", None)),
        with(&[("requirements.txt", "-i https://mirrors.aliyun.com/pypi/simple\nrequests\n")], case("a.py", "print(1)\n", None)),
        // Mirrors: in files, in the environment, on the command line, set up by a command.
        with(&[TORCH, ("pip.conf", "[global]\nindex-url = https://mirrors.aliyun.com/pypi/simple/\n")], case("a.py", "print(1)\n", None)),
        with(
            &[TORCH, ("pip.conf", "# https://mirrors.aliyun.com/pypi/simple/\n")],
            case("a.py", "print(1)\n", Some("(requirements.txt:2)")),
        ),
        given("env: { PIP_INDEX_URL: 'https://pypi.tuna.tsinghua.edu.cn/simple' }", with(&[TORCH], case("a.py", "print(1)\n", None))),
        case("a.sh", "pip install -i https://mirrors.aliyun.com/pypi/simple torch\n", None),
        case("a.sh", "pip config set global.index-url https://mirrors.aliyun.com/pypi/simple\npip install torch\n", None),
        case("a.sh", "pip install torch\npip config set global.index-url https://mirrors.aliyun.com/pypi/simple\n", Some("(a.sh:1)")),
        with(
            &[("pip.conf", "index-url = https://mirrors.aliyun.com/pypi/simple/\n")],
            case("a.sh", "pip install torch --index-url https://download.pytorch.org/whl/cpu\n", Some("(a.sh:1)")),
        ),
        case("a.sh", "cat > ~/.pip/pip.conf <<EOF\nindex-url = https://mirrors.aliyun.com/pypi/simple/\nEOF\npip install torch\n", None),
        with(&[(".npmrc", "registry=https://registry.npmmirror.com\n")], case("a.sh", "npm install\n", None)),
        case("a.sh", "npm install --registry=https://registry.npmmirror.com\n", None),
        with(&[(".npmrc", "registry=https://registry.npmmirror.com\n")], case("a.sh", "npm install\npip install x\n", Some("(a.sh:2)"))),
        case("a.sh", "export GOPROXY=https://goproxy.cn,direct\ngo build ./...\n", None),
        case("a.sh", "GOPROXY=direct go install example.com/x@latest\n", Some("(a.sh:1)")),
        with(
            &[(
                ".cargo/config.toml",
                "[source.crates-io]\nreplace-with = 'm'\n[source.m]\nregistry = \"sparse+https://rsproxy.cn/index/\"\n",
            )],
            case("a.sh", "cargo build\n", None),
        ),
        case("a.sh", "sed -i 's/mirrors.cloud.example.com/mirrors.aliyun.com/g' /etc/yum.repos.d/*.repo\nyum install -y jq\n", None),
        // Repositories and downloads.
        case("a.sh", "git clone https://github.com/a/b\n", Some("`git clone https://github.com/a/b` (a.sh:1)")),
        case("a.sh", "git clone git@github.com:a/b.git\n", Some("(a.sh:1)")),
        case("a.sh", "git clone https://gitee.com/a/b\n", None),
        case("a.sh", "X=$(curl -s https://api.example.com/x)\n", Some("(a.sh:1)")),
        case("a.sh", "BASE=https://data.example.org\nwget -q $BASE/set.zip\n", Some("(a.sh:2)")),
        case("a.sh", "curl -O https://mirrors.aliyun.com/x.tar.gz\ncurl http://localhost:8080/\n", None),
        // Images.
        case("a.sh", "docker run --rm -v /a:/b python:3.12 true\n", Some("(a.sh:1)")),
        case("a.sh", "docker pull registry.cn-hangzhou.aliyuncs.com/a/b:1\n", None),
        with(
            &[("Dockerfile", "# base\nFROM python:3.12\nRUN true\n")],
            case("a.sh", "docker build -t x .\n", Some("`FROM python:3.12` (Dockerfile:2)")),
        ),
        with(
            &[("Dockerfile", "FROM registry.cn-hangzhou.aliyuncs.com/a/b:1\nRUN apt-get update && \\\n  apt-get install -y jq\n")],
            case("a.sh", "docker build -t x .\n", Some("(Dockerfile:2)")),
        ),
        // Models.
        case("a.py", BERT, Some("`model = AutoModel.from_pretrained(NAME)` (a.py:3)")),
        given("env: { HF_ENDPOINT: 'https://hf-mirror.com' }", case("a.py", BERT, None)),
        with(&[("bert-base/config.json", "{}")], case("a.py", BERT, None)),
        case(
            "a.py",
            "import os\nos.environ['HF_ENDPOINT'] = 'https://hf-mirror.com'\nfrom huggingface_hub import snapshot_download\nsnapshot_download('a/b')\n",
            None,
        ),
        case("a.py", "from modelscope import AutoModel\nAutoModel.from_pretrained('bert').train()\n", None),
        case("a.sh", "hf download a/b\n", Some("(a.sh:1)")),
        // What the script runs in turn.
        with(&[("lib/go.sh", "#!/bin/sh\n\nnpm install\n")], case("a.sh", "sh lib/go.sh\n", Some("(lib/go.sh:3)"))),
    ]
}

#[test]
fn the_region_follows_from_what_scripts_fetch() {
    let cases = cases();
    assert!(cases.len() >= 20);
    for Case { script: (file, text), files, job, evidence } in cases {
        let manifest = format!("version: 1\nstack: lab\njobs:\n  work:\n    script: {file}\n    {job}\n");
        let mut stage = Stage::new(&manifest);
        stage.lookup.types.push(Type("ecs.x.large", 2, 4, "X86", Some("0.2"), vec!["ap-southeast-1a", "cn-hangzhou-h"]));
        stage.write(file, text);
        files.iter().for_each(|(name, text)| stage.write(name, text));
        let plan = stage.plan();
        let because = &plan.decisions["region"].because;
        match evidence {
            Some(evidence) => {
                assert_eq!(plan.region, "ap-southeast-1", "{text}\n{because}");
                assert!(because.contains(evidence) && because.starts_with("job `work` runs `"), "{text}\n{because}");
            }
            None => {
                assert_eq!((plan.region.as_str(), because.as_str()), ("cn-hangzhou", "nothing is fetched from hosts overseas"), "{text}")
            }
        }
    }
}

#[test]
fn the_users_region_wins_over_what_is_fetched() {
    let manifest = "version: 1\nstack: lab\nregion: cn-hangzhou\njobs:\n  work: { script: a.sh }\n";
    let stage = Stage::new(manifest);
    stage.write("a.sh", "pip install torch\n");
    let plan = stage.plan();
    assert_eq!((plan.region.as_str(), plan.decisions["region"].because.as_str()), ("cn-hangzhou", "named at aliform.yaml:3"));
}

#[test]
fn commands_of_the_manifest_have_their_line() {
    let manifest = "version: 1\nstack: lab\njobs:\n  work:\n    run: |\n      echo 1\n      pip install torch\n";
    let mut stage = Stage::new(manifest);
    stage.lookup.types.push(Type("ecs.x.large", 2, 4, "X86", Some("0.2"), vec!["ap-southeast-1a"]));
    let because = stage.plan().decisions["region"].because.clone();
    assert_eq!(because, "job `work` runs `pip install torch` (aliform.yaml:7), which fetches from hosts overseas");
}
