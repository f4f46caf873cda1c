package main

import (
	"encoding/json"
	"fmt"
	"os"

	"onnxopt/passes"
	"onnxopt/passes/pass"
)

// recipe is what an optimization chose: the same passes with the same settings on
// the same model and samples give the same bytes.
type recipe struct {
	Version     string        `json:"version"` // of the program
	Preset      string        `json:"preset,omitempty"`
	Passes      []string      `json:"passes"`
	Calibration int           `json:"calibration_samples"`
	Settings    pass.Settings `json:"settings"`
}

// chosen is the recipe of what was done. What search chose is in the settings,
// so that it need not search again.
func (o *optimizer) chosen() recipe {
	r := recipe{Version: version, Preset: o.preset, Calibration: o.calibrationSamples, Settings: o.settings}
	r.Settings.Quant.Half, r.Settings.Quant.Float = o.ledger.Half, o.ledger.Float
	for _, p := range o.list {
		if !o.off[p.Name] && p.Name != "mixed-precision" {
			r.Passes = append(r.Passes, p.Name)
		}
	}
	return r
}

func (o *optimizer) recipeText() string {
	b, err := json.MarshalIndent(o.chosen(), "", "  ")
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func (o *optimizer) saveRecipe() error {
	if o.recipeOut == "" {
		return nil
	}
	return writeBytes(o.c, o.recipeOut, []byte(o.recipeText()+"\n"))
}

// readRecipe takes passes and settings from the file of --recipe.
func (o *optimizer) readRecipe() ([]pass.Pass, error) {
	b, err := os.ReadFile(o.recipe)
	if err != nil {
		return nil, err
	}
	var r recipe
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("%s: not a recipe: %w", o.recipe, err)
	}
	o.preset, o.calibrationSamples, o.settings = r.Preset, r.Calibration, r.Settings
	list, err := passes.Select(r.Passes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.recipe, err)
	}
	return list, nil
}
