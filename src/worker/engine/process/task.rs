//! A task that runs as a process: it listens on its node's ports itself, and is told by its environment which. Must never
//! hold a port: what is free now may be taken when the task asks for it, and then it says so.

use super::super::{Control, EngineError, Exit, Launch, Needs, Port, Running, Usage};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::time::Duration;

/// Settles which ports of this node it listens on, and tells it.
pub fn prepare(launch: &mut Launch) -> Result<(), EngineError> {
    let listen = listen(&launch.needs);
    for port in &mut launch.needs.ports {
        port.host = free(listen, *port).map_err(|error| {
            EngineError::Resources(format!(
                "port {} of this node cannot be listened on ({error}); stop what uses it, ask for another, or leave `host` \
                 out for a free one",
                port.host
            ))
        })?;
        launch.env.push((format!("PORT_{}", port.inside), port.host.to_string()));
    }
    if let Some(first) = launch.needs.ports.first() {
        launch.env.push(("PORT".into(), first.host.to_string()));
    }
    Ok(())
}

fn listen(needs: &Needs) -> IpAddr {
    needs.listen.unwrap_or(Ipv4Addr::UNSPECIFIED.into())
}

fn free(listen: IpAddr, port: Port) -> std::io::Result<u16> {
    let at = match port.udp {
        true => UdpSocket::bind((listen, port.host))?.local_addr()?,
        false => TcpListener::bind((listen, port.host))?.local_addr()?,
    };
    Ok(at.port())
}

/// With its ports.
pub fn with_ports(running: Running, needs: Needs) -> Running {
    let Running { address, stdin, stdout, control } = running;
    Running { address, stdin, stdout, control: Box::new(TaskControl { control, needs }) }
}

struct TaskControl {
    control: Box<dyn Control>,
    needs: Needs,
}

#[async_trait::async_trait]
impl Control for TaskControl {
    async fn ended(&self) -> Exit {
        self.control.ended().await
    }

    async fn stop(&self, grace: Duration) -> Exit {
        self.control.stop(grace).await
    }

    fn last_words(&self) -> String {
        self.control.last_words()
    }

    fn ports(&self) -> Vec<Port> {
        self.needs.ports.clone()
    }

    fn address(&self, inside: u16) -> Option<SocketAddr> {
        let host = self.needs.ports.iter().find(|port| port.inside == inside && !port.udp).map_or(inside, |p| p.host);
        let listen = listen(&self.needs);
        let at = if listen.is_unspecified() { Ipv4Addr::LOCALHOST.into() } else { listen };
        Some(SocketAddr::new(at, host))
    }

    async fn usage(&self) -> Option<Usage> {
        self.control.usage().await
    }
}
