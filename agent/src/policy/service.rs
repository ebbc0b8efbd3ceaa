// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Services that people protect, by name: `service = "postgresql"`.

use super::{PortSpan, Protocol};

/// A service and its usual ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Service {
    /// What it is called in a policy.
    pub name: &'static str,
    /// Its usual ports, as its own documentation or IANA's registry has them.
    pub ports: &'static [(u16, u16)],
    /// Over what it is spoken.
    pub protocol: Protocol,
    /// Where it always is, if that is so.
    pub hosts: &'static [&'static str],
    /// What it is, for people.
    pub about: &'static str,
}

impl Service {
    /// Its ports.
    pub fn spans(&self) -> impl Iterator<Item = PortSpan> {
        self.ports
            .iter()
            .filter_map(|(first, last)| PortSpan::new(*first, *last))
    }
}

/// One over TCP.
const fn tcp(name: &'static str, ports: &'static [(u16, u16)], about: &'static str) -> Service {
    Service {
        name,
        ports,
        protocol: Protocol::Tcp,
        hosts: &[],
        about,
    }
}

/// All services that have a name, in its order.
pub const SERVICES: &[Service] = &[
    tcp(
        "amqp",
        &[(5671, 5672)],
        "AMQP, as RabbitMQ speaks it, with TLS and without",
    ),
    tcp(
        "cassandra",
        &[(9042, 9042), (9142, 9142), (7000, 7001)],
        "Cassandra: clients, with TLS, between nodes",
    ),
    tcp(
        "clickhouse",
        &[(8123, 8123), (8443, 8443), (9000, 9000), (9440, 9440)],
        "ClickHouse: HTTP and native, each with TLS",
    ),
    Service {
        name: "cloud-metadata",
        ports: &[(80, 80)],
        protocol: Protocol::Tcp,
        hosts: &["169.254.169.254", "fd00:ec2::254"],
        about: "the metadata service of AWS, Azure, Google Cloud and others, with its credentials",
    },
    tcp(
        "consul",
        &[(8300, 8303), (8500, 8503), (8600, 8600)],
        "Consul: servers, HTTP, HTTPS, gRPC, DNS",
    ),
    tcp(
        "couchdb",
        &[(5984, 5984), (6984, 6984)],
        "CouchDB, and with TLS",
    ),
    tcp("docker-tls", &[(2376, 2376)], "the Docker API with TLS"),
    tcp(
        "elasticsearch",
        &[(9200, 9300)],
        "Elasticsearch and OpenSearch: clients and nodes",
    ),
    tcp("etcd", &[(2379, 2380)], "etcd: clients and peers"),
    tcp("influxdb", &[(8086, 8086)], "InfluxDB"),
    tcp("kafka", &[(9092, 9094)], "Kafka brokers"),
    tcp(
        "kubernetes-api",
        &[(6443, 6443), (8443, 8443)],
        "the Kubernetes API server",
    ),
    tcp(
        "ldap",
        &[(389, 389), (636, 636), (3268, 3269)],
        "LDAP and LDAPS, and the global catalog of Active Directory",
    ),
    Service {
        name: "memcached",
        ports: &[(11211, 11211)],
        protocol: Protocol::Any,
        hosts: &[],
        about: "memcached, over TCP and UDP",
    },
    tcp(
        "mongodb",
        &[(27017, 27019)],
        "MongoDB: servers, shards, configuration servers",
    ),
    tcp(
        "mysql",
        &[(3306, 3306), (33060, 33060)],
        "MySQL and MariaDB, and MySQL's X protocol",
    ),
    tcp(
        "nats",
        &[(4222, 4222), (6222, 6222), (8222, 8222)],
        "NATS: clients, cluster, monitoring",
    ),
    tcp(
        "neo4j",
        &[(7473, 7474), (7687, 7687)],
        "Neo4j: HTTPS, HTTP, Bolt",
    ),
    tcp(
        "oracle",
        &[(1521, 1522), (2484, 2484)],
        "Oracle Database's listener, and with TLS",
    ),
    tcp("postgresql", &[(5432, 5432)], "PostgreSQL"),
    tcp("rdp", &[(3389, 3389)], "Remote Desktop"),
    tcp(
        "redis",
        &[(6379, 6380), (16379, 16379), (26379, 26379)],
        "Redis and Valkey: with TLS, cluster bus, Sentinel",
    ),
    tcp("smb", &[(139, 139), (445, 445)], "SMB file shares"),
    tcp(
        "sql-server",
        &[(1433, 1434)],
        "Microsoft SQL Server, and its administrator's connection",
    ),
    tcp("ssh", &[(22, 22)], "SSH"),
    tcp(
        "vault",
        &[(8200, 8201)],
        "Vault and OpenBao: clients and cluster",
    ),
    tcp("vnc", &[(5900, 5909)], "VNC"),
    tcp(
        "winrm",
        &[(5985, 5986)],
        "Windows Remote Management, with TLS and without",
    ),
    tcp(
        "zookeeper",
        &[(2181, 2181), (2888, 2888), (3888, 3888)],
        "ZooKeeper: clients, followers, elections",
    ),
];

/// The service of this name.
#[must_use]
pub(super) fn service(name: &str) -> Option<&'static Service> {
    SERVICES.iter().find(|service| service.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_services_are_in_order_and_have_ports() {
        assert!(SERVICES.is_sorted_by(|one, next| one.name < next.name));
        for service in SERVICES {
            assert_eq!(
                service.spans().count(),
                service.ports.len(),
                "{}",
                service.name
            );
        }
    }
}
