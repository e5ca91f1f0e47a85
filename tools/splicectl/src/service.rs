// SPDX-License-Identifier: GPL-2.0

//! `splicectl service`

use crate::args::ServiceVerb;
use crate::fail::{Fail, tell};
use crate::format;
use crate::output::Output;
use crate::table::{Table, left, right};
use std::net::SocketAddr;
use tcp_splice_netlink::{Client, Service};

pub(crate) fn run(out: &Output, verb: ServiceVerb) -> Result<(), Fail> {
    match verb {
        ServiceVerb::Add {
            service,
            scheduler,
            seed,
        } => {
            let made = Client::open()
                .and_then(|mut client| client.service_new(service, scheduler, seed))
                .map_err(Fail::kernel(format!("service add {service}")))?;
            print(out, &[made])
        }
        ServiceVerb::List => {
            let services = Client::open()
                .and_then(|mut client| client.services())
                .map_err(Fail::kernel("service list"))?;
            print(out, &services)
        }
        ServiceVerb::Del { services } => del(out, &services),
    }
}

fn del(out: &Output, services: &[SocketAddr]) -> Result<(), Fail> {
    let mut client = Client::open().map_err(Fail::kernel("service del"))?;
    let mut gone = Vec::new();
    let mut result = Ok(());
    for service in services {
        let what = format!("service del {service}");
        match client.service_del(*service) {
            Ok(service) => gone.push(service),
            Err(error) if Fail::is_general(&error) => return Err(Fail::kernel(what)(error)),
            Err(error) => {
                tell(&format!("{what}: {error}"));
                result = Err(Fail::Told);
            }
        }
    }
    if out.json() {
        out.value(&gone)?;
    }
    result
}

fn print(out: &Output, services: &[Service]) -> Result<(), Fail> {
    if out.json() {
        return out.value(&services);
    }
    out.text(&table(services).render(out.color()))
}

fn table(services: &[Service]) -> Table {
    let mut table = Table::new(vec![
        left("SERVICE"),
        left("SCHEDULER"),
        right("NODES"),
        right("SEED"),
    ]);
    for service in services {
        let number = |value: Option<u32>| value.map_or("?".into(), |value| value.to_string());
        table.row(vec![
            format::endpoint(service.address, service.port).into(),
            service
                .scheduler
                .map_or("?".into(), |scheduler| scheduler.to_string())
                .into(),
            number(service.nodes).into(),
            number(service.seed).into(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use tcp_splice_netlink::Scheduler;

    #[test]
    fn one_line_a_service() {
        let service = Service {
            address: Some([192, 0, 2, 1].into()),
            port: Some(80),
            scheduler: Some(Scheduler::Hash),
            seed: Some(0),
            nodes: Some(3),
        };
        let lines = [
            "SERVICE       SCHEDULER  NODES  SEED",
            "192.0.2.1:80  hash           3     0",
        ];
        assert_eq!(table(&[service]).render(false), lines.join("\n") + "\n");
    }
}
