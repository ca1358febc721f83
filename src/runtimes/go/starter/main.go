// Every call arrives here as an HTTP request; what is written to w is the answer.
package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
)

func main() {
	http.HandleFunc("/", hello)
	log.Fatal(http.ListenAndServe(os.Getenv("HOST")+":"+os.Getenv("PORT"), nil))
}

func hello(w http.ResponseWriter, r *http.Request) {
	name, _ := io.ReadAll(r.Body)
	if len(name) == 0 {
		name = []byte("World")
	}
	fmt.Fprintf(w, "Hello, %s!\n", name)
}
