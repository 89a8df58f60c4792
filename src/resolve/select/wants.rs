//! What is needed of a machine, and whether a type has it.

use rust_decimal::Decimal;

use crate::manifest::Needs;
use crate::model::money::Money;
use crate::pricing::lookup::Shape;

/// The processors of what nobody said anything about.
pub const X86: &str = "X86";
/// The other ones.
pub const ARM: &str = "ARM";
/// vCPUs of a machine that nobody named any for.
const VCPU: u32 = 2;

/// Families whose instances share a card between them, each with a slice of it; the page of GPU-accelerated families.
const SLICED: [&str; 2] = ["ecs.vgn", "ecs.sgn"];

/// Whether its accelerators are its own, and not slices of one.
pub(super) fn has_whole_cards(instance_type: &str) -> bool {
    !SLICED.iter().any(|family| instance_type.starts_with(family))
}

/// Accelerators that are needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accelerators {
    /// `NVIDIA T4`, or a part of that; none for any.
    pub model: Option<String>,
    /// How many.
    pub count: u32,
}

impl Accelerators {
    /// Whether it is that model: by its name, or by the last word of it.
    pub fn is_model(&self, model: &str) -> bool {
        self.model.as_ref().is_none_or(|wanted| {
            let (wanted, model) = (wanted.to_lowercase(), model.to_lowercase());
            model == wanted || model.rsplit(' ').next() == Some(&wanted)
        })
    }
}

/// What a machine must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wants {
    /// vCPUs, at least.
    pub vcpu: u32,
    /// GiB, at least.
    pub memory: Decimal,
    /// Accelerators, at least; none means that a machine with any is out of the question.
    pub gpu: Option<Accelerators>,
    /// `X86` or `ARM`.
    pub architecture: &'static str,
    /// Whether it may be taken back at any time, for less money.
    pub spot: bool,
    /// What an hour of it may cost at most on the market, its disk aside.
    pub cap: Option<Money>,
    /// The one type it may be, where somebody named it.
    pub named: Option<String>,
    /// The zones it may stand in; empty for any.
    pub zones: Vec<String>,
    /// The size of its disk in GiB.
    pub disk: u32,
}

impl Wants {
    /// What a manifest's needs come to.
    pub fn new(needs: &Needs, architecture: &'static str, disk: u32) -> Wants {
        let gpu =
            needs.gpu.as_ref().map(|gpu| Accelerators { model: gpu.model.as_ref().map(|model| model.value.clone()), count: gpu.count });
        // A machine with accelerators has cores and memory enough to feed them.
        let vcpu = needs.cpu.unwrap_or(if gpu.is_some() { 1 } else { VCPU });
        let usual = if gpu.is_some() && needs.cpu.is_none() { 1 } else { vcpu * 2 };
        let memory = needs.memory.map_or_else(|| Decimal::from(usual), |memory| memory.gibibytes());
        Wants { vcpu, memory, gpu, architecture, spot: false, cap: None, named: None, zones: Vec::new(), disk }
    }

    /// Whether the type has what is needed.
    pub fn fit(&self, shape: &Shape) -> bool {
        if let Some(named) = &self.named {
            return shape.instance_type == *named;
        }
        let accelerated = match &self.gpu {
            None => shape.gpus == 0,
            Some(gpu) => shape.gpus >= gpu.count && gpu.is_model(&shape.gpu) && has_whole_cards(&shape.instance_type),
        };
        accelerated && shape.vcpu >= self.vcpu && shape.memory >= self.memory && shape.architecture == self.architecture
    }

    /// Whether an instance may stand there.
    pub fn allows(&self, zone: &str) -> bool {
        self.zones.is_empty() || self.zones.iter().any(|allowed| allowed == zone)
    }

    /// In words: `2 vCPU, 4GiB`.
    pub fn words(&self) -> String {
        if let Some(named) = &self.named {
            return named.clone();
        }
        let mut words = format!("{} vCPU, {}GiB", self.vcpu, self.memory.normalize());
        if let Some(gpu) = &self.gpu {
            words += &format!(", {} x {}", gpu.count, gpu.model.as_deref().unwrap_or("any GPU"));
        }
        if self.architecture != X86 {
            words += &format!(", {}", self.architecture);
        }
        if self.spot {
            words += ", spot";
        }
        words
    }
}
