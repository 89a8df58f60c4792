//! A graph as text that other programs draw: Graphviz and Mermaid. It draws what it is given, and leaves nothing out.

use std::fmt::{Display, Write as _};

use super::Graph;

impl<K: Ord + Clone + Display> Graph<K> {
    /// The graph in Graphviz' language; arrows go from a node to what it depends on.
    pub fn dot(&self) -> String {
        let quoted = |node: &K| format!("\"{}\"", node.to_string().replace('\\', "\\\\").replace('"', "\\\""));
        let mut text = String::from("digraph {\n  rankdir = \"RL\";\n  node [shape = box];\n");
        for node in self.nodes() {
            // Writing to a String can't fail.
            let _ = writeln!(text, "  {};", quoted(node));
        }
        for (node, dependency) in self.arrows() {
            let _ = writeln!(text, "  {} -> {};", quoted(node), quoted(dependency));
        }
        text.push_str("}\n");
        text
    }

    /// The graph as a Mermaid flowchart; arrows go from a node to what it depends on.
    pub fn mermaid(&self) -> String {
        let mut text = String::from("flowchart RL\n");
        let number = |node: &K| self.index.get(node).map_or(0, |at| at.index());
        for node in self.nodes() {
            let label = node.to_string().replace('"', "#quot;");
            let _ = writeln!(text, "  n{}[\"{label}\"]", number(node));
        }
        for (node, dependency) in self.arrows() {
            let _ = writeln!(text, "  n{} --> n{}", number(node), number(dependency));
        }
        text
    }

    fn arrows(&self) -> impl Iterator<Item = (&K, &K)> {
        self.nodes().flat_map(|node| self.dependencies_of(node).into_iter().map(move |dependency| (node, dependency)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::address::{Address, Kind};

    fn network() -> Graph<Address> {
        let (vpc, vswitch) = (Address::new(Kind::Vpc, "main"), Address::new(Kind::VSwitch, "main"));
        Graph::build([(vswitch.clone(), vec![vpc.clone()]), (vpc, vec![])]).unwrap()
    }

    #[test]
    fn graphviz_gets_every_node_and_every_edge() {
        assert_eq!(
            network().dot(),
            "digraph {\n  rankdir = \"RL\";\n  node [shape = box];\n  \"vpc.main\";\n  \"vswitch.main\";\n  \"vswitch.main\" -> \"vpc.main\";\n}\n"
        );
    }

    #[test]
    fn mermaid_gets_every_node_and_every_edge() {
        assert_eq!(network().mermaid(), "flowchart RL\n  n0[\"vpc.main\"]\n  n1[\"vswitch.main\"]\n  n1 --> n0\n");
    }

    #[test]
    fn quotes_in_a_name_stay_inside_the_label() {
        let graph = Graph::build([("say \"hi\" \\".to_owned(), [])]).unwrap();
        assert!(graph.dot().contains(r#"  "say \"hi\" \\";"#));
        assert!(graph.mermaid().contains(r#"n0["say #quot;hi#quot; \"]"#));
    }
}
