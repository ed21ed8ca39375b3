// Two TURN clients of Pion send 1,000 datagrams to each other's relayed address and back, over UDP, TCP and TLS.
//
// Usage: turn HOST:PORT USERNAME PASSWORD
package main

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/pion/turn/v2"
)

const datagrams = 1000
const patience = 30 * time.Second

var server, username, password = os.Args[1], os.Args[2], os.Args[3]

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func dial(transport string) net.PacketConn {
	switch transport {
	case "udp":
		return must(net.ListenPacket("udp4", "127.0.0.1:0"))
	case "tcp":
		return turn.NewSTUNConn(must(net.Dial("tcp", server)))
	default:
		return turn.NewSTUNConn(must(tls.Dial("tcp", server, &tls.Config{InsecureSkipVerify: true})))
	}
}

// allocate also asks for the client's own address, as from a STUN server.
func allocate(transport string) (*turn.Client, net.PacketConn) {
	conn := dial(transport)
	client := must(turn.NewClient(&turn.ClientConfig{
		STUNServerAddr: server, TURNServerAddr: server, Username: username, Password: password, Conn: conn,
	}))
	if err := client.Listen(); err != nil {
		panic(err)
	}
	if seen := must(client.SendBindingRequest()); seen.String() != conn.LocalAddr().String() {
		panic(fmt.Sprintf("%s is seen as %s", conn.LocalAddr(), seen))
	}
	return client, must(client.Allocate())
}

// send also waits until the other one has it.
func send(data []byte, from, to net.PacketConn) {
	must(from.WriteTo(data, to.LocalAddr()))
	buffer := make([]byte, 2048)
	to.SetReadDeadline(time.Now().Add(patience))
	length, source, err := to.ReadFrom(buffer)
	if err != nil || !bytes.Equal(buffer[:length], data) || source.String() != from.LocalAddr().String() {
		panic(fmt.Sprintf("instead of %d bytes from %s: %d from %v, %v", len(data), from.LocalAddr(), length, source, err))
	}
}

func main() {
	for _, transport := range []string{"udp", "tcp", "tls"} {
		clientA, a := allocate(transport)
		clientB, b := allocate(transport)
		for client, other := range map[*turn.Client]net.PacketConn{clientA: b, clientB: a} {
			if err := client.CreatePermission(other.LocalAddr()); err != nil {
				panic(err)
			}
		}
		for number := 0; number < datagrams; number++ {
			// Over TCP, Pion takes four bytes in a channel only when more follow.
			data := []byte(fmt.Sprintf("%-*d", 5+number, number))
			send(data, a, b)
			send(data, b, a)
		}
		a.Close()
		b.Close()
	}
}
