package main

func depthwise(v isa)   {}
func elementwise(v isa) {}
