// A peer of peerjs-go: it sends back what comes on a connection, and connects to the peer that its arguments name, which sends its
// bytes back. It has no way to send text.
//
// Usage: peer PORT PEER
package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"

	peer "github.com/muka/peerjs-go"
	"github.com/pion/webrtc/v3"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func options() peer.Options {
	port, err := strconv.Atoi(os.Args[1])
	check(err)
	options := peer.NewOptions()
	options.Host = "127.0.0.1"
	options.Port = port
	options.Secure = false
	options.Configuration = webrtc.Configuration{}
	return options
}

func main() {
	self, err := peer.NewPeer("go", options())
	check(err)
	self.On("connection", func(data interface{}) {
		connection := data.(*peer.DataConnection)
		connection.On("data", func(data interface{}) {
			check(connection.Send(data.([]byte), false))
		})
	})

	binary := bytes.Repeat([]byte{0, 255}, 5000)
	back := make(chan []byte)
	connection, err := self.Connect(os.Args[2], peer.NewConnectionOptions())
	check(err)
	connection.On("open", func(interface{}) {
		check(connection.Send(binary, false))
	})
	connection.On("data", func(data interface{}) { back <- data.([]byte) })
	if got := <-back; !bytes.Equal(got, binary) {
		panic(fmt.Sprintf("%d bytes came back", len(got)))
	}
	fmt.Println("done")
	select {}
}
