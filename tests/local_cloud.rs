//! The local cloud from outside: signed requests in, answers out, time standing still but for what is awaited.

#[path = "local_cloud/billing.rs"]
mod billing;
#[path = "local_cloud/caller.rs"]
mod caller;
#[path = "local_cloud/cluster.rs"]
mod cluster;
#[path = "local_cloud/command.rs"]
mod command;
#[path = "local_cloud/container_service.rs"]
mod container_service;
#[path = "local_cloud/disk.rs"]
mod disk;
#[path = "local_cloud/durable.rs"]
mod durable;
#[path = "local_cloud/function.rs"]
mod function;
#[path = "local_cloud/gateway.rs"]
mod gateway;
#[path = "local_cloud/instance.rs"]
mod instance;
#[path = "local_cloud/market.rs"]
mod market;
#[path = "local_cloud/network.rs"]
mod network;
#[path = "local_cloud/object.rs"]
mod object;
#[path = "local_cloud/order.rs"]
mod order;
#[path = "local_cloud/protocol.rs"]
mod protocol;
#[path = "local_cloud/scenario.rs"]
mod scenario;
#[path = "local_cloud/schedule.rs"]
mod schedule;
#[path = "local_cloud/signature.rs"]
mod signature;
#[path = "local_cloud/spot.rs"]
mod spot;
#[path = "local_cloud/spot_market.rs"]
mod spot_market;
#[path = "local_cloud/sts.rs"]
mod sts;
#[path = "local_cloud/training.rs"]
mod training;
#[path = "local_cloud/upload.rs"]
mod upload;
