//! What depends on what: a directed graph without cycles, in which every order and every listing is the same each
//! time because it follows the order of the keys.
//!
//! It knows nothing of resources or steps, and must never decide what happens to a node.

mod draw;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use petgraph::Direction;
use petgraph::graph::{DiGraph, NodeIndex};

/// Why no graph can be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// Nodes wait for each other.
    #[error("dependency cycle: {}", path.iter().map(|node| format!("`{node}`")).collect::<Vec<_>>().join(" -> "))]
    Cycle {
        /// The nodes on the cycle; each depends on the next, and the last is the first again.
        path: Vec<String>,
    },
    /// A node depends on one that is not there.
    #[error("`{node}` depends on `{dependency}`, which does not exist")]
    Unknown {
        /// The node.
        node: String,
        /// What it names.
        dependency: String,
    },
    /// A node was given twice.
    #[error("`{node}` is there twice")]
    Duplicate {
        /// The node.
        node: String,
    },
}

/// A directed graph without cycles. Edges go from a node to what it depends on.
#[derive(Clone, Debug)]
pub struct Graph<K> {
    /// Nodes are added in the order of their keys, so that comparing indices is comparing keys.
    edges: DiGraph<K, ()>,
    index: BTreeMap<K, NodeIndex>,
    /// Dependencies first; among those that could come next, the smallest key.
    order: Vec<NodeIndex>,
}

impl<K: Ord + Clone + Display> Graph<K> {
    /// A graph of nodes with what each depends on. Naming a dependency twice is the same as naming it once.
    pub fn build<D: IntoIterator<Item = K>>(nodes: impl IntoIterator<Item = (K, D)>) -> Result<Self, GraphError> {
        Self::assemble(nodes, |node, dependency| Err(GraphError::Unknown { node: node.to_string(), dependency: dependency.to_string() }))
    }

    /// Like [`Graph::build`], but a dependency that is not a node is left out: what a state remembers may name a
    /// resource that vanished from the cloud.
    pub fn build_among_known<D: IntoIterator<Item = K>>(nodes: impl IntoIterator<Item = (K, D)>) -> Result<Self, GraphError> {
        Self::assemble(nodes, |_, _| Ok(()))
    }

    fn assemble<D: IntoIterator<Item = K>>(
        nodes: impl IntoIterator<Item = (K, D)>,
        unknown: impl Fn(&K, &K) -> Result<(), GraphError>,
    ) -> Result<Self, GraphError> {
        let mut wanted: BTreeMap<K, BTreeSet<K>> = BTreeMap::new();
        for (node, dependencies) in nodes {
            if wanted.contains_key(&node) {
                return Err(GraphError::Duplicate { node: node.to_string() });
            }
            wanted.insert(node, dependencies.into_iter().collect());
        }
        let mut edges = DiGraph::with_capacity(wanted.len(), wanted.values().map(BTreeSet::len).sum());
        let index: BTreeMap<K, NodeIndex> = wanted.keys().map(|node| (node.clone(), edges.add_node(node.clone()))).collect();
        for (node, dependencies) in &wanted {
            for dependency in dependencies {
                match index.get(dependency) {
                    Some(to) => drop(edges.add_edge(index[node], *to, ())),
                    None => unknown(node, dependency)?,
                }
            }
        }
        let order = sort(&edges)?;
        Ok(Graph { edges, index, order })
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there is no node.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Whether `node` is in the graph.
    pub fn contains(&self, node: &K) -> bool {
        self.index.contains_key(node)
    }

    /// Every node, in the order of the keys.
    pub fn nodes(&self) -> impl Iterator<Item = &K> {
        self.index.keys()
    }

    /// Every node, each after all it depends on; among those that could come next the smallest key comes first.
    pub fn order(&self) -> impl DoubleEndedIterator<Item = &K> + ExactSizeIterator {
        self.order.iter().map(|at| &self.edges[*at])
    }

    /// The nodes that depend on nothing.
    pub fn roots(&self) -> impl Iterator<Item = &K> {
        self.index.iter().filter(|(_, at)| self.neighbours(**at, Direction::Outgoing).is_empty()).map(|(node, _)| node)
    }

    /// What `node` itself depends on, in the order of the keys; nothing if it is not in the graph.
    pub fn dependencies_of(&self, node: &K) -> Vec<&K> {
        self.next_to(node, Direction::Outgoing)
    }

    /// What itself depends on `node`, in the order of the keys; nothing if it is not in the graph.
    pub fn dependents_of(&self, node: &K) -> Vec<&K> {
        self.next_to(node, Direction::Incoming)
    }

    /// Everything that `node` needs, however far away; without `node`.
    pub fn all_dependencies_of(&self, node: &K) -> BTreeSet<&K> {
        self.reach(node, Direction::Outgoing)
    }

    /// Everything that needs `node`, however far away; without `node`.
    pub fn all_dependents_of(&self, node: &K) -> BTreeSet<&K> {
        self.reach(node, Direction::Incoming)
    }

    /// The same nodes with every edge turned round: the order in which things are taken down.
    #[must_use]
    pub fn reversed(&self) -> Graph<K> {
        let mut edges = self.edges.clone();
        edges.reverse();
        // Turning round an acyclic graph brings no cycle; the old order backwards would not have the smallest key first.
        let order = sort(&edges).unwrap_or_else(|_| self.order.iter().rev().copied().collect());
        Graph { edges, index: self.index.clone(), order }
    }

    fn next_to(&self, node: &K, direction: Direction) -> Vec<&K> {
        let at = self.index.get(node);
        at.map(|at| self.neighbours(*at, direction)).unwrap_or_default().into_iter().map(|at| &self.edges[at]).collect()
    }

    fn neighbours(&self, at: NodeIndex, direction: Direction) -> Vec<NodeIndex> {
        let mut found: Vec<NodeIndex> = self.edges.neighbors_directed(at, direction).collect();
        found.sort_unstable();
        found
    }

    fn reach(&self, node: &K, direction: Direction) -> BTreeSet<&K> {
        let mut seen = BTreeSet::new();
        let mut open: Vec<NodeIndex> = self.index.get(node).copied().into_iter().collect();
        while let Some(at) = open.pop() {
            open.extend(self.edges.neighbors_directed(at, direction).filter(|next| seen.insert(*next)));
        }
        seen.into_iter().map(|at| &self.edges[at]).collect()
    }
}

/// Dependencies first, smallest index among the ready ones; or the cycle that stands in the way.
fn sort<K: Display>(edges: &DiGraph<K, ()>) -> Result<Vec<NodeIndex>, GraphError> {
    let mut missing: Vec<usize> = edges.node_indices().map(|at| edges.neighbors(at).count()).collect();
    let mut ready: BTreeSet<NodeIndex> = edges.node_indices().filter(|at| missing[at.index()] == 0).collect();
    let mut order = Vec::with_capacity(missing.len());
    while let Some(at) = ready.pop_first() {
        order.push(at);
        for dependent in edges.neighbors_directed(at, Direction::Incoming) {
            missing[dependent.index()] -= 1;
            if missing[dependent.index()] == 0 {
                ready.insert(dependent);
            }
        }
    }
    match edges.node_indices().find(|at| missing[at.index()] > 0) {
        None => Ok(order),
        Some(stuck) => Err(GraphError::Cycle { path: cycle_from(edges, &missing, stuck) }),
    }
}

/// Walks from a stuck node along stuck dependencies until a node comes again. Each stuck node has one: it is stuck
/// because a dependency of it is.
fn cycle_from<K: Display>(edges: &DiGraph<K, ()>, missing: &[usize], stuck: NodeIndex) -> Vec<String> {
    let mut walk = Vec::new();
    let mut place: BTreeMap<NodeIndex, usize> = BTreeMap::new();
    let mut next = Some(stuck);
    let mut cycle: &[NodeIndex] = &[];
    while let Some(at) = next {
        if let Some(start) = place.get(&at) {
            cycle = &walk[*start..];
            break;
        }
        place.insert(at, walk.len());
        walk.push(at);
        next = edges.neighbors(at).filter(|to| missing[to.index()] > 0).min();
    }
    let first = cycle.iter().enumerate().min_by_key(|(_, at)| **at).map_or(0, |(i, _)| i);
    let turned = cycle[first..].iter().chain(&cycle[..first]).chain(cycle.get(first));
    turned.map(|at| edges[*at].to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn graph(text: &str) -> Result<Graph<String>, GraphError> {
        Graph::build(text.split_whitespace().map(|part| {
            let (node, dependencies) = part.split_once(':').unwrap_or((part, ""));
            (node.to_owned(), dependencies.split(',').filter(|d| !d.is_empty()).map(str::to_owned).collect::<Vec<_>>())
        }))
    }

    fn words<'a>(keys: impl IntoIterator<Item = &'a String>) -> String {
        keys.into_iter().map(String::as_str).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_order_puts_dependencies_first_and_then_the_smallest_key() {
        let graph = graph("a:z b c:b,b z").unwrap();
        assert_eq!(words(graph.order()), "b c z a");
        assert_eq!(words(graph.reversed().order()), "a c b z");
        assert_eq!(words(graph.roots()), "b z");
        assert_eq!(words(graph.reversed().roots()), "a c");
    }

    #[test]
    fn neighbours_and_reach_are_told_apart() {
        let graph = graph("a b:a c:b d:c,a").unwrap();
        assert_eq!(words(graph.dependencies_of(&"d".into())), "a c");
        assert_eq!(words(graph.dependents_of(&"a".into())), "b d");
        assert_eq!(words(graph.all_dependencies_of(&"d".into())), "a b c");
        assert_eq!(words(graph.all_dependents_of(&"b".into())), "c d");
        assert!(graph.dependencies_of(&"nowhere".into()).is_empty());
    }

    #[test]
    fn a_cycle_is_named_from_its_smallest_node_and_without_what_only_hangs_on_it() {
        let error = graph("a:c b:a c:b d:c e").unwrap_err();
        assert_eq!(error.to_string(), "dependency cycle: `a` -> `c` -> `b` -> `a`");
        assert_eq!(graph("0:b a:c b:a c:b").unwrap_err().to_string(), "dependency cycle: `a` -> `c` -> `b` -> `a`");
        assert_eq!(graph("a:a").unwrap_err().to_string(), "dependency cycle: `a` -> `a`");
    }

    #[test]
    fn a_dependency_that_is_not_there_is_an_error_or_left_out_as_asked() {
        assert_eq!(graph("a:b").unwrap_err().to_string(), "`a` depends on `b`, which does not exist");
        assert_eq!(graph("a a").unwrap_err().to_string(), "`a` is there twice");
        let known = Graph::build_among_known([("a", vec!["b"])]).unwrap();
        assert!(known.dependencies_of(&"a").is_empty());
    }

    #[test]
    fn a_chain_as_long_as_the_largest_stack_does_not_exhaust_the_thread() {
        let chain = |i: u32| (i, (i > 0).then(|| i - 1));
        let graph = Graph::build((0..100_000).map(chain)).unwrap();
        assert!(graph.order().copied().eq(0..100_000));
        assert_eq!(graph.all_dependencies_of(&99_999).len(), 99_999);
        let ring = Graph::build((0..100_000).map(|i| (i, [(i + 1) % 100_000])));
        assert!(matches!(ring, Err(GraphError::Cycle { path }) if path.len() == 100_001));
    }

    proptest! {
        #[test]
        fn every_order_respects_every_edge_whatever_order_the_nodes_came_in(
            edges in proptest::collection::vec((0u8..20, 0u8..20), 0..60), seed in any::<u64>(),
        ) {
            // Only edges from larger to smaller: acyclic, but the keys are shuffled so that it shows nowhere.
            let key = |i: u8| (u64::from(i) + 1).wrapping_mul(seed | 1);
            let list = |i: u8| edges.iter().filter(|(from, to)| *from == i && to < from).map(|(_, to)| key(*to)).collect::<Vec<_>>();
            let forward = Graph::build((0..20).map(|i| (key(i), list(i)))).unwrap();
            let backward = Graph::build((0..20).rev().map(|i| (key(i), list(i)))).unwrap();
            prop_assert!(forward.order().eq(backward.order()));
            let place: BTreeMap<u64, usize> = forward.order().enumerate().map(|(at, node)| (*node, at)).collect();
            prop_assert_eq!(place.len(), 20);
            for (from, to) in edges.iter().filter(|(from, to)| to < from) {
                prop_assert!(place[&key(*to)] < place[&key(*from)]);
            }
        }
    }
}
