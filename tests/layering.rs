//! Keeps the rooms of the engine apart.
//!
//! Rust's privacy lets any module of a crate name any other, so nothing but this test stops a lower room from
//! reaching up. An allowed edge that nobody uses fails too, as soon as the room has a file besides its `mod.rs`:
//! a room that is not built yet uses none. Every room may use `model`, and none has to.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Who may import whom besides `model`, bottom-up: a room names only rooms listed above it, so there is no cycle.
const LAYERS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("graph", &[]),
    ("manifest", &[]),
    ("project", &[]),
    ("state", &[]),
    ("cloud", &[]),
    ("local_cloud", &[]),
    ("resources", &["cloud"]),
    ("pricing", &["cloud", "resources"]),
    ("resolve", &["manifest", "project", "resources", "pricing"]),
    ("plan", &["resources", "graph", "pricing"]),
    ("apply", &["plan", "state", "graph", "resources", "cloud"]),
];

/// Names under which things without a purpose of their own gather.
const DRAWERS: &[&str] = &["common", "helpers", "misc", "util", "utils"];

#[test]
fn layers_are_declared_bottom_up() {
    for (i, (room, allowed)) in LAYERS.iter().enumerate() {
        for other in *allowed {
            assert!(LAYERS[..i].iter().any(|(name, _)| name == other), "`{room}` may not import `{other}`: it does not stand below it");
        }
    }
}

#[test]
fn rooms_import_only_what_stands_below_them() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut problems = Vec::new();
    let mut used: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut files: BTreeMap<String, usize> = BTreeMap::new();
    for path in rust_files(&src) {
        let place = path.strip_prefix(&src).unwrap().with_extension("");
        let mut module: Vec<String> = place.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
        if module[0] == "bin" {
            // Another crate: it sees what is `pub`, and may use all of it.
            continue;
        }
        if module.last().is_some_and(|last| last == "mod") {
            module.pop();
        }
        let file = syn::parse_file(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let found = look_at(&file, &module);
        problems.extend(found.problems.iter().map(|problem| format!("{}: {problem}", place.display())));
        if module == ["lib"] {
            problems.extend(file.items.iter().any(|item| matches!(item, syn::Item::Use(_))).then(|| "lib.rs: no `use`".to_owned()));
            continue;
        }
        *files.entry(module[0].clone()).or_default() += 1;
        for other in found.heads.into_iter().filter(|other| *other != module[0]) {
            if !may_import(&module[0], &other) {
                problems.push(format!("{}: `{}` may not import `{other}`", place.display(), module[0]));
            }
            used.entry(module[0].clone()).or_default().insert(other);
        }
    }
    for room in files.keys().filter(|room| !LAYERS.iter().any(|(name, _)| name == room)) {
        problems.push(format!("the room `{room}` has no place in LAYERS"));
    }
    for (room, allowed) in LAYERS.iter().filter(|(room, _)| files.get(*room).is_some_and(|files| *files > 1)) {
        for other in allowed.iter().filter(|other| !used.get(*room).is_some_and(|used| used.contains(**other))) {
            problems.push(format!("LAYERS: `{room}` does not import `{other}`; take it out"));
        }
    }
    assert!(problems.is_empty(), "layering:\n{}", problems.join("\n"));
}

fn may_import(room: &str, other: &str) -> bool {
    other == "model" || LAYERS.iter().any(|(name, allowed)| *name == room && allowed.contains(&other))
}

fn rust_files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// What a file names at the root of the crate, outside its tests, and what it must not do at all.
struct Found {
    /// How many `super` lead from here to the root.
    depth: usize,
    heads: BTreeSet<String>,
    problems: Vec<String>,
}

fn look_at(file: &syn::File, module: &[String]) -> Found {
    let mut found = Found { depth: if module == ["lib"] { 0 } else { module.len() }, heads: BTreeSet::new(), problems: Vec::new() };
    if let Some(drawer) = module.iter().find(|part| DRAWERS.contains(&part.as_str())) {
        found.problems.push(format!("`{drawer}` says nothing about its purpose"));
    }
    syn::visit::visit_file(&mut found, file);
    found
}

impl Found {
    /// Takes one leading segment; says how many `super` are missing to the root, or `None` for a path that does not
    /// lead there.
    fn step(segment: &syn::Ident, to_root: usize) -> Option<usize> {
        match segment.to_string().as_str() {
            "crate" => Some(0),
            "super" => to_root.checked_sub(1),
            "self" => Some(to_root),
            _ => None,
        }
    }

    fn walk(&mut self, tree: &syn::UseTree, to_root: usize) {
        use syn::UseTree;
        match tree {
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.walk(tree, to_root)),
            UseTree::Path(path) if to_root == 0 => drop(self.heads.insert(path.ident.to_string())),
            UseTree::Path(path) => {
                if let Some(left) = Self::step(&path.ident, to_root) {
                    self.walk(&path.tree, left);
                }
            }
            _ if to_root > 0 => {}
            UseTree::Name(name) => drop(self.heads.insert(name.ident.to_string())),
            UseTree::Rename(rename) => drop(self.heads.insert(rename.ident.to_string())),
            UseTree::Glob(_) => self.problems.push("a glob import of the root hides what is used".to_owned()),
        }
    }
}

impl<'ast> syn::visit::Visit<'ast> for Found {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        let is_test = |attribute: &syn::Attribute| {
            attribute.path().is_ident("cfg") && attribute.parse_args::<syn::Ident>().is_ok_and(|condition| condition == "test")
        };
        if !item.attrs.iter().any(is_test) {
            self.depth += 1;
            syn::visit::visit_item_mod(self, item);
            self.depth -= 1;
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if matches!(item.vis, syn::Visibility::Public(_)) {
            self.problems.push("a re-export gives a thing two names".to_owned());
        }
        self.walk(&item.tree, self.depth);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let mut to_root = self.depth;
        for segment in &path.segments {
            if to_root == 0 {
                self.heads.insert(segment.ident.to_string());
                break;
            }
            let Some(left) = Self::step(&segment.ident, to_root) else { break };
            to_root = left;
        }
        syn::visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        // The body of a macro is tokens without a meaning yet, so the text has to do.
        let text = call.tokens.to_string().replace(' ', "");
        for rest in text.split("crate::").skip(1) {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
            self.heads.insert(rest[..end.unwrap_or(rest.len())].to_owned());
        }
        syn::visit::visit_macro(self, call);
    }
}

/// What `text`, as the module `plan::diff`, names at the root.
fn heads_in(text: &str) -> Vec<String> {
    let module = ["plan".to_owned(), "diff".to_owned()];
    look_at(&syn::parse_str(text).unwrap(), &module).heads.into_iter().collect()
}

#[test]
fn every_way_to_name_another_room_is_seen() {
    assert_eq!(heads_in("use crate::apply::run::Run;"), ["apply"]);
    assert_eq!(heads_in("use crate::{apply, state::store};"), ["apply", "state"]);
    assert_eq!(heads_in("use super::super::apply::Run;"), ["apply"]);
    assert_eq!(heads_in("use super::reason::Reason; use std::fmt; use serde::Serialize;"), [""; 0]);
    assert_eq!(heads_in("fn f() -> crate::apply::Run { super::super::state::g() }"), ["apply", "state"]);
    assert_eq!(heads_in("mod inner { use super::super::super::apply; }"), ["apply"]);
    assert_eq!(heads_in("fn f() { assert!(crate::apply::ready()); }"), ["apply"]);
    assert_eq!(heads_in("macro_rules! m { () => { $crate::apply::ready() } }"), ["apply"]);
    assert_eq!(heads_in("#[cfg(test)] mod tests { use crate::apply::Run; }"), [""; 0]);
}

#[test]
fn what_no_file_may_do_is_seen() {
    let problems = |text: &str, module: &[&str]| {
        let module: Vec<String> = module.iter().map(|part| (*part).to_owned()).collect();
        look_at(&syn::parse_str(text).unwrap(), &module).problems
    };
    assert_eq!(problems("pub use inner::Thing;", &["plan"]).len(), 1);
    assert_eq!(problems("use crate::*;", &["plan"]).len(), 1);
    assert_eq!(problems("", &["plan", "util"]).len(), 1);
    assert!(problems("pub(crate) use inner;", &["plan"]).is_empty());
}
