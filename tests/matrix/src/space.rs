// SPDX-License-Identifier: GPL-2.0

//! Network namespaces: entered by the calling thread, set, and read.

use std::collections::HashMap;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// A named network namespace.
pub(crate) struct Space {
    pub(crate) name: String,
    file: File,
    /// What was written, so that it is not written again.
    sysctls: HashMap<&'static str, String>,
}

impl Space {
    pub(crate) fn open(name: &str) -> Result<Space, String> {
        let path = format!("/run/netns/{name}");
        let file = File::open(&path).map_err(|e| format!("{path}: {e}"))?;
        Ok(Space {
            name: name.into(),
            file,
            sysctls: HashMap::new(),
        })
    }

    /// The calling thread is in it from here on: sockets that it makes, and what it reads of `/proc`.
    pub(crate) fn enter(&self) -> Result<(), String> {
        move_into_link_name_space(self.file.as_fd(), Some(LinkNameSpaceType::Network))
            .map_err(|e| format!("setns {}: {e}", self.name))
    }

    /// Sets `net/KEY`.
    pub(crate) fn set(&mut self, key: &'static str, value: &str) -> Result<(), String> {
        if self.sysctls.get(key).is_some_and(|old| old == value) {
            return Ok(());
        }
        self.enter()?;
        fs::write(format!("/proc/sys/net/{key}"), value)
            .map_err(|e| format!("sysctl {key}={value}: {e}"))?;
        self.sysctls.insert(key, value.into());
        Ok(())
    }

    /// Sets a switch.
    pub(crate) fn switch(&mut self, key: &'static str, on: bool) -> Result<(), String> {
        self.set(key, if on { "1" } else { "0" })
    }

    /// Whether the timestamps of connections by this device, on that side of the proxy, tick in microseconds.
    pub(crate) fn units(&self, dev: &str, side: usize, usec: bool) -> Result<(), String> {
        let (name, net) = (&self.name, side + 1);
        let features = if usec { " features tcp_usec_ts" } else { "" };
        // The routes that came with the addresses.
        for (options, prefix, rest) in [
            ("-4", format!("10.0.{net}.0/24"), "scope link"),
            ("-6", format!("fd00:{net}::/64"), "metric 256"),
        ] {
            command(&format!(
                "ip {options} -n {name} route change {prefix} dev {dev} proto kernel {rest}{features}"
            ))?;
        }
        Ok(())
    }

    /// Forgets the path MTUs that were learnt.
    pub(crate) fn flush_routes(&self) -> Result<(), String> {
        self.enter()?;
        for family in ["ipv4", "ipv6"] {
            fs::write(format!("/proc/sys/net/{family}/route/flush"), "1")
                .map_err(|e| format!("flushing {family} routes: {e}"))?;
        }
        Ok(())
    }

    /// The counters of TCP, and the sockets in use.
    pub(crate) fn counters(&self) -> Result<Counters, String> {
        self.enter()?;
        let mut out = HashMap::new();
        for file in ["snmp", "netstat"] {
            let text = read(file)?;
            let mut lines = text.lines();
            while let (Some(names), Some(values)) = (lines.next(), lines.next()) {
                let mut values = values.split_whitespace();
                let mut names = names.split_whitespace();
                let group = names.next().unwrap_or_default();
                if values.next() == Some(group) && group.starts_with("Tcp") {
                    for (name, value) in names.zip(values) {
                        out.insert(name.to_string(), value.parse::<i64>().unwrap_or(0));
                    }
                }
            }
        }
        Ok(Counters(out))
    }

    /// TCP sockets that are neither closed nor in TIME-WAIT.
    pub(crate) fn sockets(&self) -> Result<u64, String> {
        self.enter()?;
        let mut sum = 0;
        for (file, group) in [("sockstat", "TCP:"), ("sockstat6", "TCP6:")] {
            let text = read(file)?;
            let line = text
                .lines()
                .find(|l| l.starts_with(group))
                .unwrap_or_default();
            let mut words = line.split_whitespace();
            words
                .find(|w| *w == "inuse")
                .ok_or(format!("no inuse in {file}"))?;
            sum += words
                .next()
                .and_then(|n| n.parse::<u64>().ok())
                .ok_or(format!("no number in {file}"))?;
        }
        Ok(sum)
    }
}

fn read(file: &str) -> Result<String, String> {
    let path = format!("/proc/thread-self/net/{file}");
    fs::read_to_string(&path).map_err(|e| format!("{path}: {e}"))
}

/// Counters of TCP, by name.
pub(crate) struct Counters(HashMap<String, i64>);

impl Counters {
    pub(crate) fn since(&self, before: &Counters, name: &str) -> i64 {
        let at = |c: &Counters| c.0.get(name).copied().unwrap_or(0);
        at(self) - at(before)
    }
}

/// Runs a command of iproute2 or ethtool, and returns what it says.
pub(crate) fn command(line: &str) -> Result<String, String> {
    let mut words = line.split_whitespace();
    let out = Command::new(words.next().unwrap_or_default())
        .args(words)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("{line}: {e}"))?;
    if out.status.success() {
        Ok(String::from_utf8_lossy(&out.stdout).into_owned())
    } else {
        Err(format!(
            "{line}: {}",
            String::from_utf8_lossy(&out.stderr).trim()
        ))
    }
}
