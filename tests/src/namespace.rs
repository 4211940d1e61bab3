//! Network namespaces of a test's own: nothing of the machine's network is touched.

use std::fs::File;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, bail, ensure};
use pnet::datalink::{Channel, Config, MacAddr};
use pnet::packet::tcp::TcpFlags;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::frames::Segment;

static COUNT: AtomicU32 = AtomicU32::new(0);

/// A network namespace that ends with this value.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes a namespace with loopback up.
    pub fn new() -> anyhow::Result<Self> {
        let name = format!("vpcwatch-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        run(&["ip", "netns", "add", &name]).context("the system tier needs root and iproute2")?;
        let namespace = Namespace { name };
        namespace.ip(&["link", "set", "lo", "up"])?;
        // A new namespace may begin with the machine's own settings, and those of a container host differ.
        namespace.inside(|| {
            for (name, value) in [
                ("ipv4/ip_forward", "0"),
                ("ipv6/conf/all/forwarding", "0"),
                ("ipv4/conf/all/rp_filter", "0"),
                ("ipv4/conf/default/rp_filter", "0"),
                ("ipv4/tcp_syncookies", "1"),
                ("ipv4/tcp_fin_timeout", "60"),
            ] {
                std::fs::write(format!("/proc/sys/net/{name}"), value).with_context(|| name.to_owned())?;
            }
            Ok(())
        })?;
        Ok(namespace)
    }

    /// Its name, for `ip netns`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs `ip` inside.
    pub fn ip(&self, arguments: &[&str]) -> anyhow::Result<String> {
        // Not `ip -n`, which mounts sysfs anew and may not do that in a container.
        self.inside(|| run(&[&["ip"], arguments].concat()))
    }

    /// Lays a virtual cable from here to another namespace.
    pub fn join(&self, interface: &str, other: &Namespace, theirs: &str) -> anyhow::Result<()> {
        let there = ["peer", "name", theirs, "netns", &other.name];
        self.ip(&[&["link", "add", interface, "type", "veth"], there.as_slice()].concat())?;
        Ok(())
    }

    /// Runs `work` on a thread inside; sockets and programs that it starts are inside too.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> anyhow::Result<T> + Send) -> anyhow::Result<T> {
        let handle = File::open(format!("/run/netns/{}", self.name))?;
        let enter_and_work = || {
            move_into_link_name_space(handle.as_fd(), Some(LinkNameSpaceType::Network))?;
            work()
        };
        std::thread::scope(|scope| match scope.spawn(enter_and_work).join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = run(&["ip", "netns", "del", &self.name]);
    }
}

/// A host under test and a peer, joined by a virtual cable. The host's default route leads to the peer, which
/// forwards nothing: what the host answers to made-up addresses goes there and no further.
#[derive(Debug)]
pub struct Pair {
    /// The host under test: 10.9.0.2 and `fd09::2` at `eth0`.
    pub host: Namespace,
    /// The other side: 10.9.0.1 and `fd09::1` at `eth0`.
    pub peer: Namespace,
}

impl Pair {
    /// Makes both and joins them.
    pub fn new() -> anyhow::Result<Self> {
        let pair = Pair { host: Namespace::new()?, peer: Namespace::new()? };
        pair.peer.join("eth0", &pair.host, "eth0")?;
        pair.addressed()
    }

    /// Makes both and something between them, whose interfaces `peer` and `host` lead to each. Nothing passes by itself.
    pub fn apart() -> anyhow::Result<(Self, Namespace)> {
        let (pair, between) = (Pair { host: Namespace::new()?, peer: Namespace::new()? }, Namespace::new()?);
        pair.peer.join("eth0", &between, "peer")?;
        pair.host.join("eth0", &between, "host")?;
        for side in ["peer", "host"] {
            between.ip(&["link", "set", side, "up"])?;
        }
        Ok((pair.addressed()?, between))
    }

    fn addressed(self) -> anyhow::Result<Self> {
        connect(&self.peer, 1)?;
        self.plug_in()?;
        Ok(self)
    }

    /// Takes the host's network away: what is left to it is loopback.
    pub fn unplug(&self) -> anyhow::Result<()> {
        self.host.ip(&["link", "set", "eth0", "down"])?;
        self.host.ip(&["addr", "flush", "dev", "eth0"])?;
        Ok(())
    }

    /// Gives it back, as it was.
    pub fn plug_in(&self) -> anyhow::Result<()> {
        connect(&self.host, 2)?;
        self.host.ip(&["route", "add", "default", "via", "10.9.0.1"])?;
        self.host.ip(&["-6", "route", "add", "default", "via", "fd09::1"])?;
        Ok(())
    }

    /// The Ethernet address of the host's `eth0`.
    pub fn host_mac(&self) -> anyhow::Result<MacAddr> {
        self.host.inside(|| Ok(interface()?.mac))?.context("no address at the host")
    }

    /// Sends one SYN from each of `sources` to the host's port, whoever those sources are; nobody will answer the
    /// SYN-ACKs.
    pub fn syns(&self, sources: &[IpAddr], to: IpAddr, port: u16) -> anyhow::Result<()> {
        let to_mac = self.host_mac()?;
        self.peer.inside(|| {
            let interface = interface()?;
            let from_mac = interface.mac.context("no address at the peer")?;
            let config = Config { promiscuous: false, ..Config::default() };
            let Channel::Ethernet(mut sender, _) = pnet::datalink::channel(&interface, config)? else {
                bail!("not an Ethernet channel");
            };
            for (source, n) in sources.iter().zip(1024..) {
                let syn = Segment {
                    from: (*source, n),
                    to: (to, port),
                    flags: TcpFlags::SYN,
                    sequence: u32::from(n) * 65_537,
                    acknowledgement: 0,
                };
                let frame = syn.frame(from_mac, to_mac).context("mixed families")?;
                sender.send_to(&frame, None).context("no room to send")??;
            }
            Ok(())
        })
    }
}

/// Brings `eth0` up, with the addresses of that number.
fn connect(side: &Namespace, number: u8) -> anyhow::Result<()> {
    side.ip(&["link", "set", "eth0", "up"])?;
    side.ip(&["addr", "add", &format!("10.9.0.{number}/24"), "dev", "eth0"])?;
    // nodad: the address works at once
    side.ip(&["addr", "add", &format!("fd09::{number}/64"), "dev", "eth0", "nodad"])?;
    Ok(())
}

/// `eth0` of the calling thread's namespace.
pub fn interface() -> anyhow::Result<pnet::datalink::NetworkInterface> {
    pnet::datalink::interfaces().into_iter().find(|interface| interface.name == "eth0").context("no eth0")
}

/// Runs a program; its output, or its error.
pub fn run(command: &[&str]) -> anyhow::Result<String> {
    let [program, arguments @ ..] = command else { bail!("nothing to run") };
    let output =
        Command::new(program).args(arguments).output().with_context(|| format!("cannot run {program}"))?;
    ensure!(
        output.status.success(),
        "{}: {}",
        command.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
